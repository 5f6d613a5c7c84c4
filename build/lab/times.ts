import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** How long a lab waited for its places, and how long it held them. */
interface LabTime {
  readonly name: string;
  readonly waitedSeconds: number;
  readonly heldSeconds: number;
}

/** For whoever wants to know what tests with guests took: WGDRIVER_LAB_TIMES names a file to add to. */
export function recordTime(time: LabTime): void {
  const file = process.env.WGDRIVER_LAB_TIMES;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(time)}\n`);
}

/** What was recorded in `file`, a line for each lab, the slowest first. */
export function slowestFirst(file: string): string[] {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  return lines
    .map((line) => JSON.parse(line) as LabTime)
    .sort((one, other) => other.heldSeconds - one.heldSeconds)
    .map(
      ({ name, heldSeconds, waitedSeconds }) =>
        `${name}: ${Math.round(heldSeconds)} s, after ${Math.round(waitedSeconds)} s of waiting`,
    );
}
