import { type Family, type Prefix, rangeOf, toNumber } from './address.ts';

/** How many addresses of a family some prefixes hold; each counts once. In n log n steps. */
export function coverage(prefixes: readonly Prefix[], family: Family): bigint {
  return merged(prefixes, family).reduce((sum, [first, last]) => sum + last - first + 1n, 0n);
}

/** Do the prefixes hold every address of a family? */
export function coverFamily(prefixes: readonly Prefix[], family: Family): boolean {
  return coverage(prefixes, family) === 1n << BigInt(family === 'ipv4' ? 32 : 128);
}

/** The prefixes of a family as ranges that neither overlap nor touch, in their order. */
export function merged(prefixes: readonly Prefix[], family: Family): [first: bigint, last: bigint][] {
  const ranges = prefixes
    .filter(({ address }) => address.kind() === family)
    .map(rangeOf)
    .map(({ first, last }): [bigint, bigint] => [toNumber(first), toNumber(last)])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const result: [bigint, bigint][] = [];
  for (const [first, last] of ranges) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1n) {
      before[1] = last > before[1] ? last : before[1];
    } else {
      result.push([first, last]);
    }
  }
  return result;
}
