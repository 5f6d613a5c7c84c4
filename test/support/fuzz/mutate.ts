import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import type { Random } from '../random.ts';

/** Keys that reach for the prototype of objects, and such. */
const wickedKeys = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '',
  '.',
  '\0',
  'a.b',
];

export interface Mutator {
  /** JSON text of a value with something in it changed. */
  text(value: unknown): string;
  /** A value with something in it changed. */
  value(value: unknown): unknown;
  /** Bytes with something in them changed, perhaps to no UTF-8. */
  bytes(bytes: Buffer): Buffer;
}

export function createMutator(random: Random): Mutator {
  const seed = random.below(2 ** 31);
  const odd: readonly unknown[] = [
    ...fc.sample(fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }), { seed, numRuns: 2000 }),
    ...[
      '',
      ' ',
      '\0',
      '../..',
      'x'.repeat(200),
      '\ud800',
      '\u202e',
      '%s%n',
      '-1',
      '0',
      '1e999',
      '192.168.5.2',
    ],
    ...[null, true, false, 0, -1, 1e308, 2 ** 53, [], {}, [[]], [{}]],
  ];

  function value(original: unknown): unknown {
    // Down to some place in it, and there something else.
    if (typeof original !== 'object' || original === null || random.percent(20)) {
      return random.pick(odd);
    }
    const copy = (Array.isArray(original) ? [...original] : { ...original }) as Record<string, unknown>;
    const key = random.pick(Object.keys(copy).concat(random.percent(10) ? wickedKeys : []));
    if (key === undefined || random.percent(10)) {
      copy[random.pick(wickedKeys.slice(1))] = random.pick(odd);
    } else if (random.percent(15)) {
      delete copy[key];
    } else if (key !== '__proto__') {
      copy[key] = value(copy[key]);
    }
    return copy;
  }

  function text(original: unknown): string {
    switch (random.below(12)) {
      case 0:
        // A key that JSON.stringify would not write.
        return JSON.stringify(original).replace('{', `{"__proto__":${JSON.stringify(random.pick(odd))},`);
      case 1: {
        const depth = random.pick([10, 1000, 20_000]);
        const deep = random.pick([
          '['.repeat(depth) + ']'.repeat(depth),
          `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
        ]);
        return JSON.stringify(value(original)).replace(/(?<=:)[^,{}[\]]+/, deep);
      }
      case 2: {
        const huge = random.percent(5) ? 1_200_000 : 20_000;
        return JSON.stringify(original).replace(/:"[^"]*"/, () => `:"${'A'.repeat(random.below(huge))}"`);
      }
      case 3:
        return JSON.stringify(random.pick(odd)) ?? '';
      default:
        return JSON.stringify(value(original)) ?? '';
    }
  }

  function bytes(original: Buffer): Buffer {
    const at = random.below(original.length + 1);
    switch (random.below(4)) {
      case 0:
        return original.subarray(0, at);
      case 1: {
        const flipped = Buffer.from(original);
        if (at < flipped.length) {
          flipped[at] = random.below(256);
        }
        return flipped;
      }
      case 2: {
        const junk = Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256)));
        return Buffer.concat([original.subarray(0, at), junk, original.subarray(at)]);
      }
      default:
        return Buffer.concat([original, original.subarray(at)]);
    }
  }

  return { text, value, bytes };
}
