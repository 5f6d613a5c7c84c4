/**
 * `wgdriver hub serve` killed at each step of its start and of a rotation: at the second epoch's load, as an address moves, and
 * at the first one's end. Started again, it completes what the file says. The links are real, userspace ones or, in a guest,
 * the kernel's.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { wgdriver } from '../../build/host/driver.ts';
import {
  defaultAdditional,
  defaultDerivation,
  derivePresharedKey,
  derivePrivateKey,
} from '../../src/keys/derivation.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { type PublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { backend, hubPrograms, sh, startFarEnd, until } from '../support/hub-namespaces.ts';
import { createRandom } from '../support/random.ts';

const { skip } = await enterFreshNamespace(...hubPrograms);

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);
/** More than any part has. */
const mostSteps = 200;
const preload = fileURLToPath(new URL('../support/faults/preload.ts', import.meta.url));
const addresses = [2, 3, 4, 5].map((last) => `192.168.5.${last}`);

/** An address's keys by the seed of an epoch. */
interface Keys {
  readonly privateKey: ReturnType<typeof derivePrivateKey>;
  readonly presharedKey: ReturnType<typeof derivePresharedKey>;
  readonly publicKey: PublicKey;
}

test('a hub that is killed at any step completes it when it starts again', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-kills-'));
  t.after(() => rm(folder, { recursive: true }));
  const at = (name: string) => join(folder, name);
  t.diagnostic(`seed ${seed}`);

  let child: ChildProcess | undefined;
  let output = '';
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  t.after(() => child?.kill('SIGKILL'));
  /** Without node:ffi it asks the host by programs, which are steps. */
  const start = () => {
    child = spawn(
      process.execPath,
      [
        ...['--no-experimental-ffi', '--import', preload, wgdriver, 'hub', 'serve'],
        ...['--config', at('hub.yaml'), '--state-dir', at('state')],
        ...['--backend', backend === 'netlink' ? 'iproute' : backend],
      ],
      { cwd: folder, stdio: 'pipe', env: { ...process.env, WGDRIVER_TEST_FAULT: at('fault') } },
    );
    output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
  };

  const epochs = new Map<string, ReadonlyMap<string, Keys>>();
  async function newEpoch(): Promise<string> {
    const name = `${epochs.size}.seed`;
    const bytes = randomBytes(32);
    await writeFile(at(name), bytes.toString('base64'), { mode: 0o600 });
    const scheme = {
      seed: new Secret(bytes),
      additional: Buffer.from(defaultAdditional, 'base64'),
      derivation: defaultDerivation,
    };
    const keys = addresses.map((text) => {
      const address = parseAddress(text) ?? assert.fail();
      const privateKey = derivePrivateKey(scheme, address);
      const presharedKey = derivePresharedKey(scheme, address);
      return [text, { privateKey, presharedKey, publicKey: publicKeyOf(privateKey) }] as const;
    });
    epochs.set(name, new Map(keys));
    return name;
  }
  const keysOf = (epoch: string, address: string) => epochs.get(epoch)?.get(address) ?? assert.fail();
  const writeHub = (...seedFiles: readonly string[]) =>
    writeFile(
      at('hub.yaml'),
      `networks:\n  app: { subnet: 192.168.5.0/24, seedfiles: [${seedFiles}], presharedkey: derived, peers: ${addresses.length} }\n`,
    );

  /** The link's peers, `KEY PSK PREFIXES`, with the preshared keys and in order. */
  const peersNow = () =>
    sh('wg show wg0 dump')
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.split('\t'))
      .map(([key, psk, , prefixes]) => `${key} ${psk} ${prefixes}`)
      .sort();
  /** As they have to be: the address of each is at the key of its epoch, and newer epochs are known. */
  const peersOf = (seedFiles: readonly string[], holders: ReadonlyMap<string, string>) =>
    addresses
      .flatMap((address) => {
        const holder = holders.get(address) ?? assert.fail();
        return seedFiles.slice(0, seedFiles.indexOf(holder) + 1).map((epoch) => {
          const { publicKey, presharedKey } = keysOf(epoch, address);
          return `${publicKey} ${presharedKey.toBase64()} ${epoch === holder ? `${address}/32` : '(none)'}`;
        });
      })
      .sort();

  const steps = new Map<string, number>();
  /** Does one part with a kill at its step, starts the hub again if it died of it, and waits for what must come of it. */
  async function part(name: string, step: number, act: () => unknown, said: string, peers: () => string[]) {
    await writeFile(at('fault'), `kill ${step} ${name}`);
    output = '';
    await act();
    const isDone = () => !isRunning() || output.includes(said);
    await until(`${name}: ${said}`, isDone);
    await rm(at('fault'));
    if (!isRunning()) {
      assert.equal(child?.signalCode, 'SIGKILL', output);
      // As systemd does, again and again: what the kill has left running may still be at work.
      await until(`${name}: a start`, () => {
        if (!isRunning()) {
          start();
        }
        return output.includes(' serving ');
      });
    } else if (!steps.has(name)) {
      steps.set(name, step - 1);
    }
    let now: string[] = [];
    await until(`${name}: the peers`, () => {
      now = peersNow();
      return JSON.stringify(now) === JSON.stringify(peers());
    }).catch(() => assert.deepEqual(now, peers()));
  }

  let epoch = await newEpoch();
  await writeHub(epoch);
  start();
  await until('a start', () => output.includes(' serving '));
  const hubKey = sh('wg show wg0 public-key').trim() as PublicKey;
  const address = '192.168.5.2';
  const far = startFarEnd({
    addresses: [`${address}/24`],
    key: keysOf(epoch, address).privateKey,
    hubKey,
    keepalive: 1,
  });
  t.after(() => far.close());
  /** Both keys in one message, as the driver does. */
  async function turnKey(to: string): Promise<void> {
    const { privateKey, presharedKey } = keysOf(to, address);
    await writeFile(at('far.key'), privateKey.toBase64());
    await writeFile(at('far.psk'), presharedKey.toBase64());
    const keys = ['private-key', at('far.key'), 'peer', hubKey, 'preshared-key', at('far.psk')];
    far.exec('wg', 'set', `wg${far.name}`, ...keys);
  }
  /** A hub that was killed at once has not noted where its peers are, so this end has to begin. */
  async function beginAnew(): Promise<void> {
    far.exec('wg', 'set', `wg${far.name}`, 'peer', hubKey, 'remove');
    await turnKey(epoch);
    const peer = ['endpoint', '10.99.1.1:51820', 'allowed-ips', '0.0.0.0/0', 'persistent-keepalive', '1'];
    far.exec('wg', 'set', `wg${far.name}`, 'peer', hubKey, ...peer);
  }

  const random = createRandom(seed);
  const chosen = Array.from({ length: isFull ? mostSteps : 1 }, (_, index) =>
    isFull ? index + 1 : 1 + random.below(40),
  );
  const parts = ['start', 'second epoch', 'move', 'end of the first'] as const;
  for (const step of chosen) {
    if (steps.size === parts.length) {
      break;
    }
    const [old, fresh] = [epoch, await newEpoch()];
    const all = (holder: string) => new Map(addresses.map((each) => [each, holder]));
    child?.kill('SIGKILL');
    await once(child ?? assert.fail(), 'exit');
    sh('ip link delete wg0; nft delete table inet wgdriver-hub-wg0');
    await part(parts[0], step, start, ' serving ', () => peersOf([old], all(old)));
    await beginAnew();
    assert.match(sh('ip address show dev wg0'), /inet 192\.168\.5\.1\/24/);
    assert.match(sh('nft list tables'), /wgdriver-hub-wg0/);
    assert(far.pings('192.168.5.1'));
    const load = async (...seedFiles: string[]) => {
      await writeHub(...seedFiles);
      child?.kill('SIGHUP');
    };
    await part(
      parts[1],
      step,
      () => load(fresh, old),
      'hub loaded',
      () => peersOf([fresh, old], all(old)),
    );
    assert(far.pings('192.168.5.1'));
    const moved = new Map([...all(old), [address, fresh] as const]);
    await part(
      parts[2],
      step,
      () => turnKey(fresh),
      'addresses moved',
      () => peersOf([fresh, old], moved),
    );
    assert(far.pings('192.168.5.1'));
    await part(
      parts[3],
      step,
      () => load(fresh),
      'hub loaded',
      () => peersOf([fresh], all(fresh)),
    );
    assert(far.pings('192.168.5.1'));
    epoch = fresh;
  }
  t.diagnostic(`steps: ${[...steps].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  assert(!isFull || steps.size === parts.length, 'each part has survived a kill that came too late');
});
