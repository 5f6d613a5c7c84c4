/**
 * `wgdriver serve` killed at each step of each call, with the engine played by the test: a broken call is
 * repeated without its body, and then whatever the engine would do. The links are real, userspace ones or,
 * in a guest, the kernel's.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh, until } from '../../build/host/commands.ts';
import { startArticleHub } from '../../build/host/hub.ts';
import { findTunnel } from '../../build/host/tunnel.ts';
import { defaultAdditional, defaultDerivation, derivePrivateKey } from '../../src/keys/derivation.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { publicKeyOf } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { faultyService, success } from '../support/faults/service.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { addForeignLink, shownLinks } from '../support/namespace-links.ts';
import { createNetworkRequest } from '../support/networks.ts';
import { createRandom } from '../support/random.ts';

const isUserspace = (await findTunnel()).backend === 'userspace';
const { skip } = await enterFreshNamespace('wg', 'ping', ...(isUserspace ? ['wireguard-go'] : []));

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const kills = Number(process.env.WGDRIVER_TEST_KILLS ?? (isFull ? 500 : 50));
const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);
/** Reconcile waits for 400 ms where it would for 10 s; an emulated machine is slower itself. */
const speed = Number(process.env.WGDRIVER_TEST_SPEED ?? 25);

const calls = [
  'CreateNetwork',
  'CreateEndpoint',
  'Join',
  'Leave',
  'DeleteEndpoint',
  'DeleteNetwork',
  'Reload',
] as const;
type Call = (typeof calls)[number];

test(`${kills} kills: nothing of a broken call is left, and nothing else is touched`, { skip }, async (t) => {
  const random = createRandom(seed);
  t.diagnostic(`seed ${seed}`);
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-kills-'));
  const tunnel = await findTunnel();
  const hub = await startArticleHub({ tunnel });
  const service = faultyService({ folder, backend: tunnel.backend, speed });
  t.after(async () => {
    await service.stop('SIGKILL');
    await rm(folder, { recursive: true });
  });
  await mkdir(join(folder, 'netns'));
  const sandboxOf = (id: string) => join(folder, 'netns', id);
  const { peer: _, ...options } = createNetworkRequest().Options['com.docker.network.generic'] as Record<
    string,
    string
  >;

  const network = (id: string) => {
    const request = createNetworkRequest({ id });
    const generic = {
      'io.bestov.wg.peer': hub.endpoint,
      'io.bestov.wg.peerkey': hub.publicKey,
      // What waits for a container's namespace would take steps that belong to no call.
      'io.bestov.wg.killswitch': 'off',
    };
    return { ...request, Options: { 'com.docker.network.generic': { ...options, ...generic } } };
  };
  /** One whose hub is a link of this namespace, and whose only container gets new keys. */
  const turning = createNetworkRequest({
    id: 'turning',
    subnets: [['192.168.6.0/24', '192.168.6.1/24']],
    options: {
      hublink: 'wg-turning',
      seedfile: join(folder, 'turning.seed'),
      presharedkey: 'derived',
      killswitch: 'off',
    },
  });
  const endpoint = (EndpointID: string) => ({
    NetworkID: EndpointID === 'turned' ? 'turning' : 'net',
    EndpointID,
  });
  const addresses: Readonly<Record<string, string>> = { steady: '192.168.5.2/24', turned: '192.168.6.2/24' };
  /** All victims have the same address, and so the same key. */
  const bodies: Readonly<Record<Call, (id: string) => object>> = {
    CreateNetwork: (id) => (id === 'turning' ? turning : network(id)),
    CreateEndpoint: (id) => ({
      ...endpoint(id),
      Interface: { Address: addresses[id] ?? '192.168.5.3/24' },
      Options: {},
    }),
    Join: (id) => ({ ...endpoint(id), SandboxKey: sandboxOf(id), Options: {} }),
    Leave: endpoint,
    DeleteEndpoint: endpoint,
    DeleteNetwork: (id) => ({ NetworkID: id }),
    Reload: () => ({ Networks: [] }),
  };
  const pathOf = (method: Call) => `${method === 'Reload' ? 'Plugin' : 'NetworkDriver'}.${method}`;
  const call = (method: Call, id: string) => service.call(pathOf(method), bodies[method](id));
  const succeed = async (method: Call, id: string) => success(await call(method, id));

  /** What the engine does with a link: into the container, and out again. */
  async function moveIn(id: string): Promise<void> {
    await symlink(`/run/netns/${id}`, sandboxOf(id));
    await sh('ip netns add "$1"; ip link set dev "$2" down netns "$1" name wg0', id, linkName(id));
  }
  async function moveOut(id: string): Promise<void> {
    // PID 1 is in the namespace of the host.
    await sh('ip -n "$1" link set dev wg0 down netns 1 name "$2"; ip netns delete "$1"', id, linkName(id));
    await rm(sandboxOf(id));
  }

  /** Up to the moment before a call for a victim. */
  async function prepare(method: Call, id: string): Promise<void> {
    if (method === 'DeleteNetwork') {
      await succeed('CreateNetwork', id);
    }
    if (method === 'Join' || method === 'Leave' || method === 'DeleteEndpoint') {
      await succeed('CreateEndpoint', id);
    }
    if (method === 'Leave' || method === 'DeleteEndpoint') {
      await succeed('Join', id);
      await moveIn(id);
    }
    if (method === 'DeleteEndpoint') {
      await moveOut(id);
    }
    if (method === 'Reload') {
      await writeSeed();
    }
  }

  /** What engine and user do about a call that broke off, or was refused for that. */
  async function goOn(method: Call, id: string): Promise<void> {
    if (method === 'CreateNetwork' || method === 'DeleteNetwork') {
      // A user tries again; a network that the engine never had is of a new id then, and this one stays.
      await succeed('DeleteNetwork', id);
      return;
    }
    if (method === 'Reload') {
      return;
    }
    if (method === 'Leave') {
      await moveOut(id);
      await succeed('DeleteEndpoint', id);
    }
    // The engine tells, or has been killed as well, and then gives the address away again.
    if (method === 'CreateEndpoint' || method === 'Join') {
      if (random.percent(50)) {
        await succeed('DeleteEndpoint', id);
      } else {
        await prepare('DeleteEndpoint', `${id}-next`);
        await succeed('DeleteEndpoint', `${id}-next`);
      }
    }
  }

  let turnedKey = '';
  /** Another seed for the network whose keys turn. */
  async function writeSeed(): Promise<void> {
    const bytes = randomBytes(32);
    await writeFile(join(folder, 'turning.seed'), bytes.toString('base64'));
    const scheme = {
      seed: new Secret(bytes),
      additional: Buffer.from(defaultAdditional, 'base64'),
      derivation: defaultDerivation,
    };
    turnedKey = publicKeyOf(derivePrivateKey(scheme, parseAddress('192.168.6.2') ?? assert.fail()));
  }

  const linksNow = () =>
    shownLinks()
      .map(({ ifname, ifalias }) => `${ifname} ${ifalias}`)
      .sort();
  const stateNow = async () =>
    (await readdir(service.state, { recursive: true })).filter((name) => name.endsWith('.json')).sort();
  const tunnelsNow = async () => (await attempt('pgrep', ['-xc', 'wireguard-go'])).stdout.trim();

  // Two networks, each with a container, that are there all the time.
  await sh(
    `sh -euc "$2" sh wg-turning; (umask 077; wg genkey >"$1/turning.key")
     wg set wg-turning private-key "$1/turning.key" listen-port 51822
     ip address add 192.168.6.1/24 dev wg-turning; ip link set wg-turning up`,
    folder,
    tunnel.create,
  );
  await writeSeed();
  await service.start();
  for (const [network, container] of [
    ['net', 'steady'],
    ['turning', 'turned'],
  ] as const) {
    await succeed('CreateNetwork', network);
    await succeed('CreateEndpoint', container);
    await succeed('Join', container);
    await moveIn(container);
    await sh(
      'ip -n $1 address add $2 dev wg0; ip -n $1 link set wg0 up',
      container,
      addresses[container] ?? '',
    );
  }
  const ping = (container: string, address: string) =>
    run('ip', ['netns', 'exec', container, 'ping', '-c', '1', '-W', '2', address]);
  const untilPings = (container: string, address: string) =>
    until(`${container} pings`, () =>
      ping(container, address).then(
        () => true,
        () => false,
      ),
    );
  await untilPings('steady', hub.address);
  // Links of others: one with nothing to tell by, one of another driver, and one with a name as ours have.
  for (const name of ['tun0', 'wgdother', linkName('somebody’s')]) {
    await (isUserspace ? addForeignLink(name) : run('ip', ['link', 'add', name, 'type', 'wireguard']));
  }
  await sh('ip link set dev wgdother alias wgdriver:another:steady');
  const hubNow = () => run('wg', ['show', 'wg-turning', 'allowed-ips']);
  const found = { links: linksNow(), state: await stateNow(), tunnels: await tunnelsNow() };

  async function expectSound(): Promise<void> {
    let now = {};
    const sound = { ...found, hub: `${turnedKey}\t192.168.6.2/32` };
    const isSound = async () => {
      now = {
        links: linksNow(),
        state: await stateNow(),
        tunnels: await tunnelsNow(),
        hub: await hubNow(),
      };
      return JSON.stringify(now) === JSON.stringify(sound);
    };
    await until('all is as it was', isSound, 20_000).catch(() => assert.deepEqual(now, sound));
    await ping('steady', hub.address);
    // Its link follows its hub's, which was looked at above.
    await untilPings('turned', '192.168.6.1');
  }

  let victims = 0;
  /** @returns whether it died of it; else the call had fewer steps */
  async function killAt(method: Call, step: number): Promise<boolean> {
    victims += 1;
    const id = `victim${victims}`;
    await prepare(method, id);
    await service.arm('kill', step);
    const answer = await call(method, id).catch(() => undefined);
    let isBegun = false;
    // It may have died with the answer on its way.
    const hasDied = answer === undefined || (step > 0 && step <= (await service.steps()));
    if (hasDied) {
      await service.ended();
      await service.disarm();
      // What was begun it has to complete by itself.
      isBegun = existsSync(join(service.state, 'reload'));
      await service.start();
    }
    if (method === 'Reload' && hasDied && !isBegun) {
      await succeed('Reload', id);
    } else if (answer === undefined && method !== 'Reload') {
      // The engine's retry, whose body is gone.
      const { body } = await service.call(pathOf(method));
      assert.match(JSON.stringify(body), /Err.*got nothing/);
    }
    await service.disarm();
    await goOn(method, id);
    await expectSound();
    return hasDied;
  }

  const places: [call: Call, step: number][] = [];
  for (const method of calls) {
    assert(!(await killAt(method, 0)));
    const steps = await service.steps();
    t.diagnostic(`${method} has ${steps} steps`);
    places.push(...Array.from({ length: steps }, (_, index): [Call, number] => [method, index + 1]));
  }

  const died = new Map<Call, number>();
  let count = 0;
  for (let turn = 0; count < kills; turn++) {
    // Spread over all steps of all calls; in the full run each at least once.
    const at = Math.floor((turn * places.length) / Math.min(kills, places.length)) + random.below(2);
    const [method, step] = places[at % places.length] ?? assert.fail();
    try {
      if (await killAt(method, step)) {
        count += 1;
        died.set(method, (died.get(method) ?? 0) + 1);
      }
    } catch (error) {
      const output = service.output().split('\n').slice(-40).join('\n');
      throw new Error(`killed at step ${step} of ${method}:\n${output}`, { cause: error });
    }
  }
  t.diagnostic(`kills: ${[...died].map(([method, times]) => `${method} ${times}`).join(', ')}`);
  await service.stop();
  await hub.close();
});
