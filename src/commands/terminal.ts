interface Output {
  readonly isTTY?: boolean;
}

/** Does this stream end at a terminal that obeys control sequences? One called `dumb` does not (term(7)). */
export function obeysControls({ isTTY }: Output): boolean {
  return isTTY === true && process.env.TERM !== 'dumb';
}

/** no-color.org: any text in NO_COLOR but none turns colours off. */
export function hasColours(output: Output): boolean {
  return obeysControls(output) && !process.env.NO_COLOR;
}
