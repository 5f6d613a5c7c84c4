import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readSecrets } from '../../src/driver/secrets.ts';
import { articleOptions, network, seedText } from '../support/networks.ts';

const psk = 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=';
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-secrets-'));
  await writeFile(join(folder, 'app.seed'), `${seedText}\n`);
  await writeFile(join(folder, 'app.additional'), '# since this week\nbmV3\r\n\nb2xk\n');
  await writeFile(join(folder, 'app.psk'), `${psk}\n`);
  await writeFile(join(folder, 'wrong'), 'hunter2hunter2!\n');
  await writeFile(join(folder, 'empty'), '\n');
  await writeFile(join(folder, 'large.conf'), `hunter2${' '.repeat(2 ** 21)}`);
  execFileSync('mkfifo', [join(folder, 'pipe.conf')]);
});
after(() => rm(folder, { recursive: true }));

const read = (options: Readonly<Record<string, unknown>>) => {
  const { seed: _, additional: __, ...rest } = articleOptions;
  const given = Object.entries({ ...rest, seedfile: 'app.seed', ...options }).filter(
    ([, value]) => value !== undefined,
  );
  return readSecrets(network({ options: Object.fromEntries(given) }).options, folder);
};

test('what the options themselves hold, or nothing', async () => {
  const { seed, additional, presharedKey } = await readSecrets(network().options, folder);
  assert.equal(Buffer.from(seed?.reveal() ?? []).toString(), 'testseed\n');
  assert.equal(Buffer.from(additional).toString(), 'testadditional\n');
  assert.equal(presharedKey, undefined);
});

test('what is in the files that they name: of an additional file its first value', async () => {
  const { seed, additional, presharedKey } = await read({
    additionalfile: 'app.additional',
    presharedkeyfile: 'app.psk',
  });
  assert.equal(Buffer.from(seed?.reveal() ?? []).toString(), 'testseed\n');
  assert.equal(Buffer.from(additional).toString(), 'new');
  assert(presharedKey !== undefined && presharedKey !== 'derived');
  assert.equal(presharedKey.toBase64(), psk);
  assert.equal((await read({ presharedkey: 'derived' })).presharedKey, 'derived');
});

for (const [what, options, message] of [
  [
    'an additional file that is none',
    { additionalfile: 'wrong' },
    /^additional file .*wrong: expected a value in/,
  ],
  [
    'one without a value',
    { additionalfile: 'empty' },
    /^additional file .*empty: expected a value in base64/,
  ],
  [
    'one that is not there',
    { additionalfile: 'none.additional' },
    /^additional file .*none\.additional: there is no such file \(ENOENT\)$/,
  ],
  [
    'a preshared key file that is none',
    { presharedkeyfile: 'wrong' },
    /^preshared key file .*wrong: expected a preshared key, 32 bytes/,
  ],
  [
    'a directory',
    { presharedkeyfile: '.' },
    /^preshared key file .*: expected a regular file, got a directory$/,
  ],
  [
    'a configuration file of more than 2 MB',
    { conffile: 'large.conf', peer: undefined, peerkey: undefined },
    /^configuration file .*large\.conf: expected at most 2097152 bytes$/,
  ],
  [
    'a pipe, which nobody writes into',
    { conffile: 'pipe.conf', peer: undefined, peerkey: undefined },
    /^configuration file .*pipe\.conf: expected a regular file, got a pipe or device$/,
  ],
] as const) {
  test(`${what}: the error names it, and nothing of what is in it`, async () => {
    await assert.rejects(read(options), ({ message: text }: Error) => {
      assert.match(text, message);
      assert.doesNotMatch(text, /hunter2/);
      return true;
    });
  });
}
