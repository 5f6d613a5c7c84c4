import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bar } from '../../src/commands/progress.ts';
import { whyNoPrograms } from '../support/fresh-namespace.ts';

for (const [columns, drawn] of [
  [80, `[${'#'.repeat(20)}${' '.repeat(20)}] 4000/8000 keys`],
  [24, '[###   ] 4000/8000 keys'],
  [12, '4000/8000 k'],
] as const) {
  test(`half of the bar on a terminal of ${columns} columns`, () => {
    assert.equal(bar(4000, 8000, columns), drawn);
    assert(drawn.length < columns);
  });
}

/** Takes more than a second for the second of three. */
const program = `
  import { setTimeout } from 'node:timers/promises';
  import { withProgress } from ${JSON.stringify(new URL('../../src/commands/progress.ts', import.meta.url))};
  async function* slow() { yield 1; await setTimeout(1100); yield 2; yield 3; }
  for await (const _ of withProgress(slow(), 3));
`;

test(
  'long work shows its progress on a terminal, and takes it away',
  await whyNoPrograms('script'),
  async () => {
    // script(1) gives it a terminal.
    const drawnOn = async (TERM: string) =>
      (
        await promisify(execFile)(
          'script',
          [
            '--quiet',
            '--command',
            'stty columns 60; "$NODE" --input-type=module --eval "$PROGRAM"',
            '/dev/null',
          ],
          { env: { ...process.env, TERM, NODE: process.execPath, PROGRAM: program } },
        )
      ).stdout;
    const onPipe = async () =>
      (await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])).stderr;
    const [drawn, onDumb, piped] = await Promise.all([drawnOn('xterm'), drawnOn('dumb'), onPipe()]);
    assert.match(drawn, /^\r\[#+ +\] [12]\/3 keys/);
    assert(drawn.endsWith('\r\u001b[K'), JSON.stringify(drawn));
    assert.deepEqual([onDumb, piped], ['', '']);
  },
);
