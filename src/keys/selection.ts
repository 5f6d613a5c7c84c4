import { type Address, type AddressRange, addressesOf, countOf, isWithin } from '../wireguard/address.ts';
import { maxAddresses } from './ranges.ts';

/** Which addresses of a network get a peer. */
export interface Selection {
  readonly ranges: readonly AddressRange[];
  readonly without: readonly AddressRange[];
}

/** The addresses of a selection, each once, made one at a time. */
export function* selected({ ranges, without }: Selection): Generator<Address> {
  for (const [index, range] of ranges.entries()) {
    const passedOver = [...without, ...ranges.slice(0, index)].filter((other) => overlap(other, range));
    for (const address of addressesOf(range)) {
      if (!passedOver.some((other) => isWithin(other, address))) {
        yield address;
      }
    }
  }
}

/**
 * @param name what the error says that the addresses are of
 * @throws Error if there are more than anybody can wait for
 */
export function countSelected(selection: Selection, name: string): number {
  const most = selection.ranges.reduce((sum, range) => sum + countOf(range), 0n);
  if (most > maxAddresses) {
    throw new Error(
      `${name}: expected at most ${maxAddresses} addresses, got ${most}: name fewer with --peers`,
    );
  }
  let found = 0;
  for (const _ of selected(selection)) {
    found += 1;
  }
  return found;
}

/** The part of a range up to its first so many addresses; with how many there are, which may be fewer. */
export function firstOf(
  range: AddressRange,
  count: number,
  without: readonly AddressRange[],
): { readonly range: AddressRange; readonly found: number } {
  let { first: last } = range;
  let found = 0;
  for (const address of selected({ ranges: [range], without })) {
    last = address;
    found += 1;
    if (found === count) {
      break;
    }
  }
  return { range: { first: range.first, last }, found };
}

export function isSelected({ ranges, without }: Selection, address: Address): boolean {
  const isIn = (range: AddressRange) => isWithin(range, address);
  return ranges.some(isIn) && !without.some(isIn);
}

function overlap(one: AddressRange, other: AddressRange): boolean {
  return isWithin(one, other.first) || isWithin(other, one.first);
}
