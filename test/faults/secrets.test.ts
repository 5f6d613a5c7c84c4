/**
 * Everything run with seeds and keys that can be told from all else, at the most talkative log level and
 * with a failure forced at every step: no byte of them is in a log, an error, a program's arguments or
 * environment, the name of any file, or a file that others than root can read.
 */
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, sh } from '../../build/host/commands.ts';
import { findTunnel } from '../../build/host/tunnel.ts';
import { derivePrivateKey } from '../../src/keys/derivation.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { decodeBase64, encodeBase64 } from '../../src/wireguard/base64.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { type FaultyService, faultyService } from '../support/faults/service.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { articleOptions, createNetworkRequest } from '../support/networks.ts';
import { wgdriver } from '../support/wgdriver.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');

/** No two share a byte sequence with one another, or with anything else. */
const secretTexts = [
  'MARKED-seed-of-options-7f3a',
  'MARKED-seed-of-a-file-91c5',
  'MARKED-seed-torn-in-two-e4d8',
];
const [optionSeed = '', fileSeed = '', tornSeed = ''] = secretTexts.map((text) =>
  encodeBase64(Buffer.from(text)),
);
const hubKey = Buffer.from('MARKED-key-of-the-hub-0123456789');
const [customerKey, customerPsk] = ['MARKED-key-of-a-provider’s-conf', 'MARKED-psk-of-a-provider’s-conf'].map(
  (text) => Buffer.from(text).subarray(0, 32),
) as [Buffer, Buffer];

/** What is looked for, by what it is. */
const marks = new Map<string, Buffer>();
function mark(what: string, secret: Uint8Array): void {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64');
  marks.set(`${what}, raw`, bytes);
  // Less the end, which other bytes behind it would change.
  marks.set(`${what}, base64`, Buffer.from(base64.slice(0, Math.floor(bytes.length / 3) * 4)));
  marks.set(`${what}, base64url`, Buffer.from(bytes.toString('base64url').slice(0, 20)));
  marks.set(`${what}, hexadecimal`, Buffer.from(bytes.toString('hex')));
  marks.set(`${what}, HEXADECIMAL`, Buffer.from(bytes.toString('hex').toUpperCase()));
  marks.set(`${what}, as numbers`, Buffer.from([...bytes].slice(0, 8).join(',')));
}
for (const seed of [optionSeed, fileSeed, tornSeed]) {
  const bytes = Buffer.from(decodeBase64(seed) ?? assert.fail());
  mark(`seed ${bytes}`, bytes);
  for (const address of ['192.168.5.2', '192.168.5.3']) {
    const scheme = {
      seed: new Secret(bytes),
      additional: decodeBase64(articleOptions.additional) ?? assert.fail(),
      derivation: 'sha3-256',
    } as const;
    const key = derivePrivateKey(scheme, parseAddress(address) ?? assert.fail());
    mark(`key of ${address} by ${bytes}`, key.reveal());
  }
}
mark('key of the hub', hubKey);
mark('key of a configuration file', customerKey);
mark('preshared key of a configuration file', customerPsk);

function expectNoMark(where: string, content: string | Buffer): void {
  for (const [what, bytes] of marks) {
    assert(!Buffer.from(content).includes(bytes), `${where} has ${what}:\n${String(content).slice(0, 2000)}`);
  }
}

/** Programs that note down how they were called, and then are themselves. */
async function recordPrograms(folder: string, record: string): Promise<void> {
  await mkdir(folder);
  for (const program of ['ip', 'wg', 'wireguard-go', 'sh', 'cat', 'unshare']) {
    const path = (await sh('command -v "$1"', program)).trim();
    const shim = `#!/bin/sh\nPATH=$OLD_PATH\n{ printf '%s\\n' "$0" "$@"; env; } >>${record}\nexec ${path} "$@"\n`;
    await writeFile(join(folder, program), shim);
    await chmod(join(folder, program), 0o755);
  }
}

test('no secret leaves its place, whatever fails', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-secrets-'));
  const [bin, record, stamp, seedFile] = ['bin', 'record', 'stamp', 'seed'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  await writeFile(stamp, '');
  await writeFile(record, '');
  await recordPrograms(bin, record);
  await writeFile(seedFile, `${fileSeed}\n`, { mode: 0o600 });
  await mkdir(join(folder, 'tmp'));
  const env = {
    OLD_PATH: process.env.PATH,
    PATH: `${bin}:${process.env.PATH}`,
    TMPDIR: join(folder, 'tmp'),
  };
  const { backend } = await findTunnel();
  const service = faultyService({ folder, backend, speed: 1, env });
  t.after(async () => {
    await service.stop('SIGKILL');
    await rm(folder, { recursive: true });
  });

  const answers: string[] = [];
  const attempt = async (method: string, body: unknown) => {
    const answer = await service.call(`NetworkDriver.${method}`, body).catch((error: Error) => error.message);
    answers.push(JSON.stringify(answer));
  };
  await service.start();
  const failures = await failEverywhere(service, attempt, seedFile);
  t.diagnostic(`${failures} failures forced`);
  await tellWrongly(attempt, folder);

  const conffile = join(folder, 'customer.conf');
  await writeFile(conffile, conffileOf(), { mode: 0o600 });
  for (const spoilt of [
    conffileOf().replace('PrivateKey = ', 'PrivateKey = !'),
    conffileOf().replace('PrivateKey', 'Address'),
    conffileOf().replace('PresharedKey', 'MyKey'),
    conffileOf().replace('PresharedKey', 'Endpoint'),
    conffileOf() + conffileOf(),
    conffileOf().replace('= ', ''),
  ]) {
    await writeFile(join(folder, 'spoilt.conf'), spoilt, { mode: 0o600 });
    await attempt('CreateNetwork', ofConffile('spoilt', join(folder, 'spoilt.conf')));
    assert.match(answers.at(-1) ?? '', /Err.*line \d+/);
  }
  await attempt('CreateNetwork', ofConffile('customer', conffile));
  await attempt('CreateEndpoint', { ...created('e2', 'customer', 2), Interface: {} });
  await attempt('Join', { NetworkID: 'customer', EndpointID: 'e2' });
  assert.match(answers.at(-1) ?? '', /InterfaceName/);

  // What a running service shows of itself and its tunnels.
  await attempt('CreateNetwork', network('option', { seed: optionSeed }));
  await attempt('CreateEndpoint', created('e1', 'option', 2));
  await attempt('Join', { NetworkID: 'option', EndpointID: 'e1' });
  assert.match(answers.at(-1) ?? '', /InterfaceName/);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const file of ['cmdline', 'environ', 'comm']) {
      expectNoMark(`/proc/${pid}/${file}`, await readFile(`/proc/${pid}/${file}`).catch(() => ''));
    }
  }
  // A file of state that was torn, and a kill that leaves a core file if the machine writes any.
  await service.stop();
  await writeFile(join(service.state, 'networks', 'torn.json'), `{"options":{"seed":"${tornSeed}","see`, {
    mode: 0o600,
  });
  await service.start();
  await sh(
    'prlimit --core=unlimited --pid "$1"',
    (await run('pgrep', ['-f', service.socket])).split('\n')[0] ?? '',
  );
  await service.stop('SIGABRT');

  // Where they belong they are found, so they would be elsewhere.
  const ofState = (file: string) => readFile(join(service.state, 'networks', file), 'utf8');
  expectNoMark('the state of a network with a file', await ofState('customer.json'));
  const kept = await ofState('option.json');
  assert.throws(() => expectNoMark('the state', kept), /the state has seed MARKED-seed-of-options.*, base64/);

  for (const output of await runCommands(folder, seedFile, env)) {
    expectNoMark('a command', output);
  }
  expectNoMark('the log', service.output());
  expectNoMark('an answer', answers.join('\n'));
  const recorded = await readFile(record, 'utf8');
  assert.match(recorded, /wireguard-go|setconf|link/);
  expectNoMark('arguments or environment of a program', recorded);
  await expectNoMarkInFiles(folder, stamp, service, seedFile);
});

function network(id: string, secret: object): object {
  const { seed: _, ...options } = articleOptions;
  // What waits for a container's namespace would take steps that belong to no call.
  return createNetworkRequest({ id, options: { ...options, killswitch: 'off', ...secret } });
}

function ofConffile(id: string, conffile: string): object {
  return createNetworkRequest({
    id,
    subnets: [['0.0.0.0/0', '']],
    options: { conffile, killswitch: 'off' },
  });
}

function conffileOf(): string {
  return `[Interface]
PrivateKey = ${customerKey.toString('base64')}
Address = 10.64.0.7/32
[Peer]
PublicKey = ${articleOptions.peerkey}
PresharedKey = ${customerPsk.toString('base64')}
Endpoint = 192.0.2.1:51820
AllowedIPs = 10.64.0.0/24
`;
}

function created(EndpointID: string, NetworkID: string, last: number): object {
  return { EndpointID, NetworkID, Interface: { Address: `192.168.5.${last}/24` }, Options: {} };
}

/** Every step in the full run; else every third, and another third in the next call. */
const stride = process.env.WGDRIVER_TEST_FULL === undefined ? 3 : 1;

/** A life of a network and an endpoint for each step of each call, which fails at that step. */
async function failEverywhere(
  service: FaultyService,
  attempt: (method: string, body: unknown) => Promise<void>,
  seedfile: string,
): Promise<number> {
  let failures = 0;
  for (const [id, secret] of [
    ['option', { seed: optionSeed }],
    ['file', { seedfile }],
  ] as const) {
    const life: readonly (readonly [string, object])[] = [
      ['CreateNetwork', network(id, secret)],
      ['CreateEndpoint', created('e1', id, 2)],
      ['Join', { NetworkID: id, EndpointID: 'e1' }],
      ['DeleteEndpoint', { NetworkID: id, EndpointID: 'e1' }],
      ['DeleteNetwork', { NetworkID: id }],
    ];
    for (const [at, [method, body]] of life.entries()) {
      for (let [step, steps] = [0, 1]; step <= steps; step += step === 0 ? 1 + (at % stride) : stride) {
        for (const [earlier, earlierBody] of life.slice(0, at)) {
          await attempt(earlier, earlierBody);
        }
        await service.arm('fail', step);
        await attempt(method, body);
        // Counted when nothing fails.
        steps = step === 0 ? await service.steps() : steps;
        await service.disarm();
        failures += step === 0 ? 0 : 1;
        for (const [later, laterBody] of life.slice(3)) {
          await attempt(later, laterBody);
        }
      }
    }
  }
  return failures;
}

/** Secrets where they do not belong, and spoilt ones where they do. */
async function tellWrongly(
  attempt: (method: string, body: unknown) => Promise<void>,
  folder: string,
): Promise<void> {
  const spoilt = [
    { seed: `${optionSeed}!` },
    { seed: [optionSeed] },
    { seed: optionSeed, seedfile: '/none' },
    { seed: optionSeed, unknown: optionSeed },
    { seed: optionSeed, mtu: optionSeed },
    { seed: optionSeed, peerkey: optionSeed },
    { seed: optionSeed, peer: optionSeed },
    { seed: optionSeed, allowedips: optionSeed },
    { seed: optionSeed, derivation: optionSeed },
    { seed: optionSeed, additional: `${optionSeed}!` },
  ];
  for (const secret of spoilt) {
    await attempt('CreateNetwork', network('spoilt', secret));
  }
  await writeFile(join(folder, 'spoilt'), `${fileSeed}\n${fileSeed}`, { mode: 0o600 });
  await attempt('CreateNetwork', network('spoilt', { seedfile: join(folder, 'spoilt') }));
  await attempt('CreateEndpoint', {
    ...created('e1', 'option', 2),
    Options: { 'io.bestov.wg.seed': optionSeed },
  });
  await attempt('CreateNetwork', JSON.stringify(network('torn', { seed: optionSeed })));
  await attempt('CreateNetwork', [network('torn', { seed: optionSeed })]);
}

/** The other commands, with right and with wrong secrets; what they print, but for what is asked for. */
async function runCommands(folder: string, seedFile: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const hubFile = join(folder, 'hub');
  await writeFile(hubFile, `${hubKey.toString('base64')}\n`, { mode: 0o600 });
  const spoilt = join(folder, 'spoilt');
  const scheme = ['--additional', articleOptions.additional];
  const runs: [args: string[], input?: string][] = [
    [['keys', ...scheme, '--seed-file', seedFile, '192.168.5.2']],
    [['keys', ...scheme, '--seed-file', spoilt, '192.168.5.2']],
    [['keys', ...scheme, '192.168.5.2'], `${fileSeed}!`],
    [['keys', ...scheme, '--seed', `${optionSeed}!`, '192.168.5.2']],
    [['endpoint-config', ...scheme, '--seed-file', spoilt, '192.168.5.0/24']],
    [
      [
        'endpoint-config',
        ...scheme,
        '--seed-file',
        seedFile,
        '--private-key-file',
        seedFile,
        '192.168.5.0/24',
      ],
    ],
    [['endpoint-config', ...scheme, '--seed-file', seedFile, '--format', 'json', '192.168.5.0/29']],
    [['doctor', '--json', '--socket', join(folder, 'none.sock')]],
    [['serve', optionSeed, '--socket', join(folder, 'none.sock')]],
  ];
  const outputs: string[] = [];
  for (const [args, input = ''] of runs) {
    const { stdout, stderr } = await wgdriver(args, { input, env });
    // A wrong argument is named as it was given: that one had it from the user's own terminal.
    outputs.push(args[0] === 'serve' ? '' : stdout + stderr);
  }
  return outputs;
}

/** All that was written since the start: no secret, unless in root's own files of seed, key and state. */
async function expectNoMarkInFiles(
  folder: string,
  stamp: string,
  service: FaultyService,
  seedFile: string,
): Promise<void> {
  const places = [folder, '/run', '/tmp', '/var/tmp', '/dev/shm'];
  const found = await sh(
    'stamp=$1; shift; find "$@" -xdev -type f -newer "$stamp" -size -4M -print 2>/dev/null || :',
    stamp,
    ...places,
  );
  const own = [
    seedFile,
    ...['hub', 'spoilt', 'customer.conf', 'spoilt.conf'].map((name) => join(folder, name)),
  ];
  for (const path of new Set(found.split('\n'))) {
    expectNoMark('a file’s name', path);
    const content = await readFile(path).catch(() => '');
    const { mode = 0, uid = 0 } = await stat(path).catch(() => ({}) as { mode?: number; uid?: number });
    const isOwn = own.includes(path) || path.startsWith(join(service.state, 'networks/'));
    if (isOwn) {
      assert.deepEqual([mode & 0o777, uid], [0o600, 0], path);
    } else if (!/\/core[^/]*$/.test(path)) {
      expectNoMark(path, content);
    }
  }
  assert.equal((await stat(join(service.state, 'networks'))).mode & 0o777, 0o700);
}
