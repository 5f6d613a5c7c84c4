import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { whyNoPrograms } from '../support/fresh-namespace.ts';
import { bundle, wgdriver } from '../support/wgdriver.ts';

const seed = 'dGVzdHNlZWQK';
const article = ['--seed', seed, '--additional', 'dGVzdGFkZGl0aW9uYWwK'];
const publicKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const privateKey = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-keys-'));
});
after(() => rm(folder, { recursive: true }));

test('the article’s key: bare where there is no terminal, public unless asked otherwise', async () => {
  const { status, stdout, stderr } = await wgdriver(['keys', ...article, '192.168.5.2']);
  assert.equal(stdout, `${publicKey}\n`);
  assert.match(stderr, /^wgdriver: warning: the seed has fewer than 16 bytes .*\n$/);
  assert.equal(status, 0);
  assert.equal(
    (await wgdriver(['keys', ...article, '--format', 'raw', '192.168.5.2'])).stdout,
    `${publicKey}\n`,
  );
  for (const [option, key] of [
    ['--private', privateKey],
    ['--private=true', privateKey],
    ['--private=false', publicKey],
  ] as const) {
    assert.equal((await wgdriver(['keys', ...article, option, '192.168.5.2'])).stdout, `${key}\n`, option);
  }
});

test('a file that others can read gets private keys, preshared keys or a seed with a warning', () => {
  const run = (umask: string, ...args: string[]) => {
    const output = join(folder, `umask-${umask}`);
    const script = 'umask "$1"; output=$2; shift 2; rm -f "$output"; "$@" >"$output"';
    const command = [process.execPath, bundle, 'keys', ...args];
    const { status, stderr } = spawnSync('sh', ['-c', script, 'sh', umask, output, ...command], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.notEqual(readFileSync(output, 'utf8'), '');
    return stderr;
  };
  for (const [args, secret] of [
    [[...article, '--private', '192.168.5.2'], 'private keys'],
    [[...article, '--preshared', '192.168.5.2'], 'preshared keys'],
    [['seed'], 'a seed'],
  ] as const) {
    const warning = `wgdriver: warning: stdout is a file that others can read, and the output holds ${secret}: `;
    assert(run('022', ...args).includes(warning));
    assert(!run('077', ...args).includes('stdout'));
  }
  assert(!run('022', ...article, '192.168.5.2').includes('stdout'));
});

test('as a table', async () => {
  const args = ['keys', ...article, '--format', 'table'];
  assert.equal(
    (await wgdriver([...args, '192.168.5.2'])).stdout,
    `ADDRESS      PUBLIC KEY                                  \n192.168.5.2  ${publicKey}\n`,
  );
  const { stdout } = await wgdriver([...args, '--private', '192.168.5.2']);
  assert.deepEqual(
    stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [['ADDRESS', 'PUBLIC KEY', 'PRIVATE KEY'], ['192.168.5.2', publicKey, privateKey], ['']],
  );
});

test('as JSON', async () => {
  const args = ['keys', ...article, '--format', 'json', '192.168.5.2', '192.168.5.3'];
  const [first, second, ...rest] = JSON.parse((await wgdriver(args)).stdout);
  assert.deepEqual(first, { address: '192.168.5.2', publicKey });
  assert.equal(second.address, '192.168.5.3');
  assert.deepEqual(rest, []);
  const [withPrivate] = JSON.parse((await wgdriver([...args, '--private'])).stdout);
  assert.deepEqual(withPrivate, { address: '192.168.5.2', publicKey, privateKey });
});

test('keccak-256 by name', async () => {
  const { stdout } = await wgdriver([
    'keys',
    ...article,
    '--derivation',
    'keccak-256',
    '--private',
    '192.168.5.2',
  ]);
  assert.equal(stdout, 'KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=\n');
});

const presharedKey = 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=';

test('preshared keys: alone, one a line; in a table and in JSON beside the others', async () => {
  const args = ['keys', ...article, '--preshared', '192.168.5.2'];
  assert.equal((await wgdriver(args)).stdout, `${presharedKey}\n`);
  const byKeccak = await wgdriver([...args, '--derivation', 'keccak-256']);
  assert.equal(byKeccak.stdout, `${presharedKey}\n`);
  const [row] = JSON.parse((await wgdriver([...args, '--private', '--format', 'json'])).stdout);
  assert.deepEqual(row, { address: '192.168.5.2', publicKey, privateKey, presharedKey });
  const { stdout } = await wgdriver([...args, '--private', '--format', 'table']);
  assert.deepEqual(
    stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['ADDRESS', 'PUBLIC KEY', 'PRIVATE KEY', 'PRESHARED KEY'],
      ['192.168.5.2', publicKey, privateKey, presharedKey],
      [''],
    ],
  );
});

test('the default additional is bestov.io', async () => {
  const additional = Buffer.from('bestov.io').toString('base64');
  const asked = await wgdriver(['keys', '--seed', seed, '--additional', additional, '192.168.5.2']);
  const byDefault = await wgdriver(['keys', '--seed', seed, '192.168.5.2']);
  assert.equal(byDefault.stdout, asked.stdout);
  assert.notEqual(byDefault.stdout, `${publicKey}\n`);
});

test('a prefix is its hosts, a range is all of it, and they come in the order asked for', async () => {
  const args = ['keys', ...article, '--format', 'json'];
  const { stdout } = await wgdriver([
    ...args,
    '10.0.0.9',
    '192.168.5.0/30',
    '192.168.5.255-192.168.6.1',
    'fd00::1',
  ]);
  assert.deepEqual(
    JSON.parse(stdout).map(({ address }: { address: string }) => address),
    ['10.0.0.9', '192.168.5.1', '192.168.5.2', '192.168.5.255', '192.168.6.0', '192.168.6.1', 'fd00::1'],
  );
});

test('a /24 in raw has a key on each of 254 lines', async () => {
  const { stdout } = await wgdriver(['keys', ...article, '192.168.5.0/24']);
  const lines = stdout.split('\n');
  assert.equal(lines.pop(), '');
  assert.equal(new Set(lines).size, 254);
  assert.equal(lines[1], publicKey);
});

test('a /19, which several threads derive, is what a /24 of it and a list in JSON are', async () => {
  const { stdout } = await wgdriver(['keys', ...article, '10.9.0.0/19']);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 2 ** 13 - 2);
  const some = await wgdriver(['keys', ...article, '10.9.7.0-10.9.7.255']);
  assert.deepEqual(lines.slice(7 * 256 - 1, 8 * 256 - 1), some.stdout.trimEnd().split('\n'));
  const json = await wgdriver(['keys', ...article, '--private', '--format', 'json', '10.9.0.0/19']);
  const rows = JSON.parse(json.stdout) as { publicKey: string }[];
  assert.deepEqual(
    rows.map((row) => row.publicKey),
    lines,
  );
});

test('the seed from a file, the environment, stdin, and - for stdin', async () => {
  const file = join(folder, 'seed');
  await writeFile(file, `${seed}\n`);
  const args = ['keys', '--additional', 'dGVzdGFkZGl0aW9uYWwK', '192.168.5.2'];
  for (const [what, more, setting] of [
    ['a file', ['--seed-file', file], {}],
    ['the environment', [], { env: { WGDRIVER_SEED: seed } }],
    ['the environment, before stdin', [], { env: { WGDRIVER_SEED: seed }, input: 'b3RoZXI=' }],
    ['stdin', [], { input: `${seed}\n` }],
    ['- for stdin', ['--seed-file', '-'], { input: seed }],
    [
      '- for stdin, before the environment',
      ['--seed-file', '-'],
      { input: seed, env: { WGDRIVER_SEED: 'b3RoZXI=' } },
    ],
    ['a file, before the environment', ['--seed-file', file], { env: { WGDRIVER_SEED: 'b3RoZXI=' } }],
    ['the option, before the environment', ['--seed', seed], { env: { WGDRIVER_SEED: 'b3RoZXI=' } }],
  ] as const) {
    const { stdout, status } = await wgdriver([...args, ...more], setting);
    assert.equal(stdout, `${publicKey}\n`, what);
    assert.equal(status, 0, what);
  }
});

test('a seed of 16 bytes is not warned about', async () => {
  const { stderr } = await wgdriver(['keys', '--seed', Buffer.alloc(16).toString('base64'), '192.168.5.2']);
  assert.equal(stderr, '');
});

test('the article’s one-liner: private keys through `wg pubkey`', await whyNoPrograms('wg'), async () => {
  const { stdout } = await wgdriver(['keys', ...article, '--private', '192.168.5.2']);
  assert.equal(execFileSync('wg', ['pubkey'], { input: stdout, encoding: 'utf8' }), `${publicKey}\n`);
});

test('`keys seed` makes another seed of 32 bytes each time', async () => {
  const seeds = new Set<string>();
  for (let count = 0; count < 5; count++) {
    const { stdout, stderr, status } = await wgdriver(['keys', 'seed']);
    assert.match(stdout, /^[A-Za-z0-9+/]{43}=\n$/);
    assert.equal(Buffer.from(stdout, 'base64').length, 32);
    assert.deepEqual([stderr, status], ['', 0]);
    seeds.add(stdout);
  }
  assert.equal(seeds.size, 5);
});

test('a reader that has had enough ends the output, and it is no error', () => {
  const script = '"$1" "$2" keys --seed "$3" 10.0.0.0/14 2>&1 >&3 | cat; exit "$PIPESTATUS"';
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      '-c',
      `{ ${script.replace('; exit "$PIPESTATUS"', '')}; } 3>&1 | head -2`,
      'bash',
      process.execPath,
      bundle,
      Buffer.alloc(32).toString('base64'),
    ],
    { encoding: 'utf8' },
  );
  assert.equal(stdout.trim().split('\n').length, 2);
  assert.equal(stderr, '');
});

const marked = 'TUFSS0VEc2VjcmV0';
const wrong: [what: string, args: string[], message: RegExp][] = [
  ['no address', ['--seed', marked], /no address: expected one or more addresses/],
  ['no address that is one', ['--seed', marked, '192.168.5.256'], /192\.168\.5\.256: expected an address/],
  [
    'an address with a length',
    ['--seed', marked, '192.168.5.2/24'],
    /expected 192\.168\.5\.0\/24 for the subnet or/,
  ],
  ['a prefix too large', ['--seed', marked, '10.0.0.0/8'], /expected at most 1048576 addresses/],
  ['a range backwards', ['--seed', marked, '10.0.0.2-10.0.0.1'], /expected the lower address first/],
  ['an unknown option', ['--sede', marked, '192.168.5.2'], /unknown option --sede/],
  ['an unknown option with its value', [`--sede=${marked}`, '192.168.5.2'], /unknown option --sede/],
  ['an unknown letter', ['-x', '192.168.5.2'], /unknown option -x/],
  ['an option without its value', ['192.168.5.2', '--seed'], /option --seed needs a value/],
  ['an option with an empty value', ['--seed=', '192.168.5.2'], /option --seed needs a value/],
  [
    'an unknown format',
    ['--seed', marked, '--format', 'yaml', '192.168.5.2'],
    /option --format: expected one of table, raw, json/,
  ],
  [
    'a word for a switch',
    ['--seed', marked, '--private=no', '192.168.5.2'],
    /option --private: expected true or false, got no$/,
  ],
  ['nothing for a switch', ['--seed', marked, '--private=', '192.168.5.2'], /--private: expected true or/],
  [
    'two kinds of keys on one line',
    ['--seed', marked, '--private', '--preshared', '192.168.5.2'],
    /raw output has one key per line: choose either --private or --preshared/,
  ],
  [
    'an unknown derivation',
    ['--seed', marked, '--derivation', 'md5', '192.168.5.2'],
    /option --derivation: expected one of sha3-256, keccak-256/,
  ],
  ['a seed that is none', ['--seed', `${marked}!`, '192.168.5.2'], /option --seed: expected base64, but/],
  [
    'an additional that is none',
    ['--seed', marked, '--additional', `${marked}!`, '192.168.5.2'],
    /option --additional: expected base64/,
  ],
  [
    'two seeds',
    ['--seed', marked, '--seed-file', '/x', '192.168.5.2'],
    /expected either --seed or --seed-file, got both/,
  ],
];

for (const [what, args, message] of wrong) {
  test(`wrong arguments, ${what}: one line and status 2`, async () => {
    const { status, stdout, stderr } = await wgdriver(['keys', ...args]);
    const lines = stderr.split('\n').filter((line) => !line.includes('warning'));
    assert.equal(lines.length, 2, stderr);
    assert.equal(lines[1], '');
    assert.match(lines[0] ?? '', message);
    assert(stderr.startsWith('wgdriver: '), stderr);
    assert.equal(stdout, '');
    assert.equal(status, 2);
    assert(!stderr.includes(marked), stderr);
  });
}

test('a wrong seed in the environment, on stdin and in a file does not show', async () => {
  const file = join(folder, 'wrong');
  await writeFile(file, `${marked}!`);
  for (const [args, setting, message, expected] of [
    [[], { env: { WGDRIVER_SEED: `${marked}!` } }, /^wgdriver: WGDRIVER_SEED: expected base64, but .*\n$/, 1],
    [[], { input: `${marked}!` }, /^wgdriver: stdin: expected base64, but .*\n$/, 1],
    [[], { input: '' }, /^wgdriver: stdin: expected base64, but it is empty.*\n$/, 1],
    [['--seed-file', file], {}, /^wgdriver: seed file .*wrong: expected base64, but .*\n$/, 1],
    [
      ['--seed-file', `${file}-none`],
      {},
      /^wgdriver: seed file .*wrong-none: there is no such file \(ENOENT\)\n$/,
      1,
    ],
  ] as const) {
    const { status, stdout, stderr } = await wgdriver(['keys', '192.168.5.2', ...args], setting);
    assert.match(stderr, message);
    assert(!stderr.includes(marked));
    assert.equal(stdout, '');
    assert.equal(status, expected);
  }
});

for (const [what, args, message] of [
  ['an unknown command', ['kees'], /^wgdriver: .*kees.*\n$/],
  ['an option for a command', ['--seed', marked], /^wgdriver: .*\n$/],
] as const) {
  test(`wrong arguments, ${what}: one line and status 2`, async () => {
    const { status, stdout, stderr } = await wgdriver([...args]);
    assert.match(stderr, message);
    assert(!stderr.includes(marked) && !stderr.includes('\u001b'), stderr);
    assert.equal(stdout, '');
    assert.equal(status, 2);
  });
}

test('help is on stdout and says what there is; so does a call without arguments, which is an error', async () => {
  const help = await wgdriver(['--help']);
  assert.equal(help.status, 0);
  for (const command of ['serve', 'keys', 'endpoint-config', 'doctor']) {
    assert.match(help.stdout, new RegExp(`\\b${command}\\b`));
  }
  assert(!help.stdout.includes('\u001b'));
  const keys = await wgdriver(['keys', '--help']);
  assert.match(keys.stdout, /--seed-file/);
  assert.equal(keys.status, 0);
  const none = await wgdriver([]);
  assert.equal(none.status, 2);
  assert.match((await wgdriver(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
});
