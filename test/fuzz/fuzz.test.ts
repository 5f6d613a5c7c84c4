import { test } from 'node:test';
import { fuzz } from './fuzz.ts';

// A fiftieth of what `npm run fuzz` does.
const requests = process.env.WGDRIVER_TEST_FULL === undefined ? 20_000 : 1_000_000;
test('whatever is sent to the socket, given as options or found as state: an answer, and no crash', async (t) => {
  const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);
  await fuzz({ requests, seed, report: (line) => t.diagnostic(line) });
});
