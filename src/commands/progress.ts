import { columnsOf, obeysControls } from './terminal.ts';

/** Work that takes longer than this shows how far it is. */
const patienceMs = 1000;
const redrawMs = 100;
const barWidth = 40;

/** Passes items on, with a bar on stderr if that is a terminal and the work is long. */
export async function* withProgress<Item>(items: AsyncIterable<Item>, total: number): AsyncGenerator<Item> {
  let nextDraw = performance.now() + patienceMs;
  let done = 0;
  let drawn = false;
  for await (const item of items) {
    yield item;
    done += 1;
    if (obeysControls(process.stderr) && performance.now() >= nextDraw) {
      process.stderr.write(`\r${bar(done, total, columnsOf(process.stderr) ?? 80)}`);
      nextDraw = performance.now() + redrawMs;
      drawn = true;
    }
  }
  if (drawn) {
    // Erase in Line (ECMA-48): the bar was for the time of waiting only.
    process.stderr.write('\r\u001B[K');
  }
}

/** One that reached the last column would begin a new line. */
export function bar(done: number, total: number, columns: number): string {
  const count = `${done}/${total} keys`;
  const width = Math.min(barWidth, columns - count.length - '[] '.length - 1);
  if (width < 1) {
    return count.slice(0, columns - 1);
  }
  const filled = Math.floor((done / total) * width);
  return `[${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${count}`;
}
