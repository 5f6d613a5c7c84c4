export const firewallMarkExpectation = '`off` or a number of 32 bits, such as 51820 or 0xca6c';

/** Parses a mark of packets as `wg` reads it, `off` as 0; undefined if it is none. */
export function parseFirewallMark(text: string): number | undefined {
  if (text.toLowerCase() === 'off') {
    return 0;
  }
  const mark = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  return mark <= 0xffff_ffff ? mark : undefined;
}
