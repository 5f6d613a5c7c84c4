import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressBytes,
  addressesOf,
  bits,
  compareAddresses,
  countOf,
  covers,
  formatPrefix,
  hostPrefix,
  masked,
  parseAddress,
  parsePrefix,
  plus,
  rangeOf,
  sameAddress,
} from '../../src/wireguard/address.ts';
import { anyAddress, anyIpv4, anyPrefix } from '../support/addresses.ts';

test('an address is read back as it was written', () => {
  fc.assert(
    fc.property(anyAddress, (address) => {
      const parsed = parseAddress(address.toString());
      assert(parsed);
      assert(sameAddress(parsed, address));
      assert.deepEqual(addressBytes(parsed), Uint8Array.from(address.toByteArray()));
    }),
  );
});

test('only what inet_pton takes is an address', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.ipV4(),
        fc.ipV6(),
        fc.ipV4Extended(),
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 3, maxLength: 5 }).map((p) => p.join('.')),
      ),
      (text) => {
        assert.equal(parseAddress(text)?.kind() === 'ipv4', isIPv4(text), text);
        // inet_pton knows no zones, Node's function does.
        assert.equal(parseAddress(text)?.kind() === 'ipv6', isIPv6(text) && !text.includes('%'), text);
      },
    ),
    { numRuns: 1000 },
  );
});

for (const text of [
  '',
  '1',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '0x1.2.3.4',
  ' 1.2.3.4',
  '1.2.3.4 ',
  '1.2.3.4\n',
]) {
  test(`no address: ${JSON.stringify(text)}`, () => {
    assert.equal(parseAddress(text), undefined);
  });
}

for (const text of ['::1%lo', '1::2::3', ':', '12345::', 'fd00::1 ', '[::1]', 'g::1']) {
  test(`no IPv6 address: ${JSON.stringify(text)}`, () => {
    assert.equal(parseAddress(text), undefined);
  });
}

test('a prefix is read back as it was written, host bits and all', () => {
  fc.assert(
    fc.property(anyPrefix, (prefix) => {
      const parsed = parsePrefix(formatPrefix(prefix));
      assert(parsed);
      assert.equal(parsed.length, prefix.length);
      assert(sameAddress(parsed.address, prefix.address));
    }),
  );
});

for (const text of [
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '::/129',
  '/24',
  '10.0.0.0/-1',
  '10.0.0.0/1e1',
  '1.2.3.4/8/8',
]) {
  test(`no prefix: ${text}`, () => {
    assert.equal(parsePrefix(text), undefined);
  });
}

test('masking clears the host bits, and twice is once', () => {
  assert.equal(formatMasked('10.1.0.5/16'), '10.1.0.0/16');
  assert.equal(formatMasked('255.255.255.255/0'), '0.0.0.0/0');
  assert.equal(formatMasked('255.255.255.255/1'), '128.0.0.0/1');
  assert.equal(formatMasked('10.0.0.7/31'), '10.0.0.6/31');
  assert.equal(formatMasked('2001:db8::ffff/64'), '2001:db8::/64');
  fc.assert(
    fc.property(anyPrefix, (prefix) => {
      const network = masked(prefix);
      assert.equal(formatPrefix(masked(network)), formatPrefix(network));
      assert(covers(network, prefix) && covers(prefix, network));
    }),
  );
});

test('the range of a prefix has the size that its length says, and its addresses are inside', () => {
  fc.assert(
    fc.property(anyPrefix, (prefix) => {
      const range = rangeOf(prefix);
      assert.equal(countOf(range), 1n << BigInt(bits(prefix.address) - prefix.length));
      assert(covers(prefix, hostPrefix(range.first)) && covers(prefix, hostPrefix(range.last)));
      assert(compareAddresses(range.first, prefix.address) <= 0);
      assert(compareAddresses(prefix.address, range.last) <= 0);
    }),
  );
});

test('covering means that every address of the inner is one of the outer', () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const sameKind = a.address.kind() === b.address.kind();
      const inside =
        sameKind &&
        compareAddresses(rangeOf(a).first, rangeOf(b).first) <= 0 &&
        compareAddresses(rangeOf(b).last, rangeOf(a).last) <= 0;
      assert.equal(covers(a, b), inside);
    }),
  );
  fc.assert(
    fc.property(
      anyIpv4,
      fc.integer({ min: 0, max: 32 }),
      fc.integer({ min: 0, max: 32 }),
      (address, a, b) => {
        assert.equal(covers({ address, length: a }, { address, length: b }), a <= b);
      },
    ),
  );
});

test('the addresses of a small prefix, one by one', () => {
  const prefix = parsePrefix('10.0.0.254/30');
  assert(prefix);
  assert.deepEqual([...addressesOf(rangeOf(prefix))].map(String), [
    '10.0.0.252',
    '10.0.0.253',
    '10.0.0.254',
    '10.0.0.255',
  ]);
});

test('a large prefix costs no memory', () => {
  const prefix = parsePrefix('fd00::/8');
  assert(prefix);
  const first = addressesOf(rangeOf(prefix)).next();
  assert.equal(String(first.value), 'fd00::');
});

test('plus carries over the bytes', () => {
  const address = parseAddress('10.0.255.255');
  assert(address);
  assert.equal(plus(address, 1n).toString(), '10.1.0.0');
  assert.equal(plus(address, -256n).toString(), '10.0.254.255');
});

function formatMasked(text: string): string {
  const prefix = parsePrefix(text);
  assert(prefix, text);
  return formatPrefix(masked(prefix));
}
