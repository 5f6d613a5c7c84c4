/**
 * `npm run demo`: the main job, for real and for reading along. In namespaces of their own, an engine, the
 * driver and a compose example with a hub and an app; at the end nothing is left.
 */
import { release } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, sh } from '../host/commands.ts';
import { importExamplesImage, openComposeExample } from '../host/compose.ts';
import { startDriver } from '../host/driver.ts';
import { startEngine } from '../host/engine.ts';
import { pingUntilAnswered } from '../host/host.ts';
import { runInSandbox } from '../host/sandbox.ts';
import { expectNoTraceSince, takeTraces } from '../host/traces.ts';
import { findTunnel } from '../host/tunnel.ts';

const inside = 'WGDRIVER_DEMO_INSIDE';
const example = resolve('compose-examples/hub-and-app');
let steps = 0;

if (process.env[inside] === undefined) {
  if (process.getuid?.() !== 0) {
    process.stderr.write('The demo makes namespaces and network links: run it as root.\n');
    process.exitCode = 1;
  } else {
    process.exitCode = await runInSandbox(process.execPath, [fileURLToPath(import.meta.url)], {
      [inside]: 'yes',
    });
  }
} else {
  await demo();
}

async function demo(): Promise<void> {
  const started = performance.now();
  const tunnel = await findTunnel();

  step(
    'Everything from here on happens in namespaces of its own: no engine or network of this machine is touched.',
  );
  show(
    `kernel ${release()}, WireGuard by ${tunnel.backend === 'iproute' ? 'the kernel' : 'wireguard-go (this kernel has none)'}`,
  );

  step('Start the driver, then the engine, which finds the driver’s socket in /run/docker/plugins.');
  const driver = await startDriver('--log-level', 'info');
  command('wgdriver serve &', driver.output());
  const engine = await startEngine();
  command('dockerd &', `Docker ${engine.version}`);

  step('Without a registry, hub and app share one image: busybox and the WireGuard tools of this machine.');
  await importExamplesImage(engine, tunnel);
  const before = await takeTraces();

  step('Make the seed, the hub’s key and its configuration, with a peer for each address of the subnet.');
  const project = await openComposeExample(example, tunnel);
  await project.run('./setup.sh');
  command('./setup.sh; ls secrets', await project.run('ls', 'secrets'));

  step('Start the hub, and the app on the WireGuard network.');
  await project.compose('up', '-d');
  command(
    `${project.command} up -d`,
    await engine.docker('ps', '--format', '{{.Names}}  {{.Status}}  {{.Networks}}'),
  );
  // Not by compose, which may be in Python and takes a second for each.
  const [app, hub] = [await project.compose('ps', '-q', 'app'), await project.compose('ps', '-q', 'hub')];
  const inApp = (...words: string[]) => engine.docker('exec', app, ...words);
  const inHub = (...words: string[]) => engine.docker('exec', hub, ...words);

  step('The app has `lo` and `wg0`, a real WireGuard link, and routes everything into it.');
  command(
    'in app: ip address; ip route',
    `${await inApp('ip', '-o', 'address')}\n${await inApp('ip', 'route')}`,
  );

  step('Ping both ways through the tunnel.');
  await inApp('sh', '-c', pingUntilAnswered, 'sh', '192.168.5.1');
  command('in app: ping -c 2 192.168.5.1', await inApp('ping', '-c', '2', '192.168.5.1'));
  command('in hub: ping -c 2 192.168.5.2', await inHub('ping', '-c', '2', '192.168.5.2'));

  step('The hub knows the app by the key that both derived from seed, additional and address.');
  command(
    'in hub: wg show wg0 latest-handshakes',
    await inHub('sh', '-c', "wg show wg0 latest-handshakes | awk '$2 != 0'"),
  );

  step('The trick: the link is in the app, its UDP socket still in the host’s namespace.');
  command(
    'in app: UDP sockets',
    (await inApp(
      'sh',
      '-c',
      'tail -n +2 /proc/net/udp /proc/net/udp6 | grep -v " 0B00007F:\\|==>\\|^$" || true',
    )) || '(none but the resolver’s)',
  );
  command('on the host: UDP sockets', await sh("ss -uapnH | awk '{print $4, $5, $6}'"));

  step('No other way out: with the hub stopped, the app reaches nothing, not even the host.');
  await project.compose('pause', 'hub');
  const gateway = '172.31.250.1';
  const blocked = await attempt('docker', ['exec', app, 'ping', '-c', '1', '-W', '2', gateway]);
  if (blocked.status === 0) {
    throw new Error(`the app reached ${gateway} past the tunnel`);
  }
  command(`in app: ping -c 1 -W 2 ${gateway}   (the host’s own address)`, blocked.stdout);
  await project.compose('unpause', 'hub');

  step('Remove everything, and see that nothing is left: no link, process, socket, namespace or state.');
  await project.compose('down', '-v');
  await expectNoTraceSince(before);
  await project.remove();
  command('docker network ls', await engine.docker('network', 'ls', '--format', '{{.Name}}  {{.Driver}}'));
  await engine.stop();
  await driver.stop();
  process.stdout.write(
    `\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s. The driver’s log of it:\n`,
  );
  show(driver.output());
}

function step(text: string): void {
  steps += 1;
  process.stdout.write(`\n${steps}. ${text}\n`);
}

function command(line: string, output: string): void {
  process.stdout.write(`   $ ${line}\n`);
  show(output);
}

function show(text: string): void {
  process.stdout.write(
    text
      .trim()
      .split('\n')
      .map((line) => `     ${line}\n`)
      .join(''),
  );
}
