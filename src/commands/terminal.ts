interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Does this stream end at a terminal that obeys control sequences? One called `dumb` does not (term(7)). */
export function obeysControls({ isTTY }: Output): boolean {
  return isTTY === true && process.env.TERM !== 'dumb';
}

/** no-color.org: any text in NO_COLOR but none turns colours off. */
export function hasColours(output: Output): boolean {
  return obeysControls(output) && !process.env.NO_COLOR;
}

/** The width of the terminal that this stream ends at; undefined if it ends at none, or at one that does not tell. */
export function columnsOf({ isTTY, columns }: Output): number | undefined {
  // A pseudo-terminal whose size nobody has set says 0.
  return isTTY === true && columns !== 0 ? columns : undefined;
}
