import assert from 'node:assert/strict';
import fc from 'fast-check';
import { NetlinkError } from '../../../src/netlink/error.ts';

/** Whatever bytes come, a decoder gives a value or a NetlinkError; the examples cut short and altered, too. */
export function assertSurvivesAnyBytes(
  decode: (bytes: Uint8Array) => unknown,
  ...examples: readonly Uint8Array[]
): void {
  const anyBytes = fc.uint8Array({ maxLength: 200 });
  const altered = fc
    .tuple(
      fc.constantFrom(...examples),
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }),
    )
    .map(([example, length, changes]) => {
      const bytes = example.slice(0, example.length - (length % 5 === 0 ? length % example.length : 0));
      for (const [place, value] of changes) {
        bytes[place % bytes.length] = value;
      }
      return bytes;
    });
  fc.assert(
    fc.property(examples.length === 0 ? anyBytes : fc.oneof(anyBytes, altered), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        assert(error instanceof NetlinkError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
}
