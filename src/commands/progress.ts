/** Work that takes longer than this shows how far it is. */
const patienceMs = 1000;
const redrawMs = 100;
const width = 40;

/** Maps items one by one, with a bar on stderr if that is a terminal and the work is long. */
export function withProgress<Item, Result>(items: readonly Item[], work: (item: Item) => Result): Result[] {
  let nextDraw = performance.now() + patienceMs;
  let drawn = false;
  const results = items.map((item, index) => {
    if (process.stderr.isTTY && performance.now() >= nextDraw) {
      process.stderr.write(`\r${bar(index, items.length)}`);
      nextDraw = performance.now() + redrawMs;
      drawn = true;
    }
    return work(item);
  });
  if (drawn) {
    // Erase in Line (ECMA-48): the bar was for the time of waiting only.
    process.stderr.write('\r\u001B[K');
  }
  return results;
}

function bar(done: number, total: number): string {
  const filled = Math.floor((done / total) * width);
  return `[${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${done}/${total} keys`;
}
