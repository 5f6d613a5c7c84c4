import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { attempt, run } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { startNameServer } from '../../build/host/name-server.ts';

const host = await hostForTests();

const isFrom28 = Number.parseInt(host.engine.version, 10) >= 28;

/** The host's name server. Host and hub both have this address: who hears a question tells which way it took. */
const nameServer = '10.98.0.53';
const answers = { host: '192.0.2.1', hub: '192.0.2.2' } as const;

/** The addresses that the engine's resolver gives a container for some names. */
async function lookUp(container: string, ...names: readonly string[]): Promise<(string | undefined)[]> {
  const script = 'for name; do nslookup "$name"; echo ---; done';
  const answers = (await host.exec(container, 'sh', '-c', script, 'sh', ...names)).split('---').slice(0, -1);
  return answers.map((answer) => {
    assert.match(answer, /^Server:\s+127\.0\.0\.11$/m);
    return [...answer.matchAll(/^Address(?: 1)?: ?(\d+\.\d+\.\d+\.\d+)$/gm)]
      .map(([, address]) => address)
      .at(-1);
  });
}

interface Questions {
  readonly host: readonly string[];
  hub(): readonly string[];
}

/** Name servers on host and hub, and the host's resolv.conf that names them: for this mount namespace alone. */
async function withNameServers(use: (asked: Questions) => Promise<void>): Promise<void> {
  const onHost: string[] = [];
  await writeFile('/run/resolv.conf', `nameserver ${nameServer}\n`);
  const address = ['address', 'add', `${nameServer}/32`, 'dev', 'lo'];
  await run('ip', address);
  await host.hub.exec('ip', ...address);
  const server = await startNameServer(nameServer, answers.host, (name) => onHost.push(name));
  const program = [process.execPath, 'build/host/name-server.ts', answers.hub, nameServer, host.hub.address];
  const hubServer = startDaemon('ip', ['netns', 'exec', 'hub', ...program]);
  try {
    await untilReady(hubServer, 'the hub answers DNS', () => hubServer.output().includes('ready\n'));
    await run('mount', ['--bind', '/run/resolv.conf', '/etc/resolv.conf']);
    try {
      await use({ host: onHost, hub: () => hubServer.output().split('\n') });
    } finally {
      await run('umount', ['/etc/resolv.conf']);
    }
  } finally {
    server.close();
    await hubServer.stop();
    address[1] = 'delete';
    await run('ip', address);
    await host.hub.exec('ip', ...address);
  }
}

async function dnsByDoctor(): Promise<{ status: string; cause: string }> {
  const { stdout } = await attempt(wgdriver, ['doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; cause: string }[] };
  return checks.find(({ name }) => name === 'dns') ?? assert.fail('no such check');
}

test('DNS: containers by name and alias; past the tunnel on 28+ without --dns, else through it', async (t) => {
  await withNameServers(async (asked) => {
    await host.createNetwork('wgnet');
    await host.startContainer('one', '--network=wgnet');
    await host.startContainer(
      'two',
      '--network=wgnet',
      '--network-alias=second',
      `--dns=${host.hub.address}`,
    );
    await host.ping('one', host.hub.address);
    await host.ping('two', host.hub.address);

    // One with the host's servers, and one with its own.
    const leaks = isFrom28;
    assert.deepEqual(await lookUp('one', 'two', 'second', 'host.example'), [
      '192.168.5.3',
      '192.168.5.3',
      leaks ? answers.host : answers.hub,
    ]);
    assert.deepEqual(await lookUp('two', 'one', 'own.example'), ['192.168.5.2', answers.hub]);
    const names = ['two', 'second', 'one', 'host.example', 'own.example'];
    const heard = (questions: readonly string[]) => names.filter((name) => questions.includes(name));
    assert.deepEqual(heard(asked.host), leaks ? ['host.example'] : []);
    assert.deepEqual(heard(asked.hub()), leaks ? ['own.example'] : ['host.example', 'own.example']);
    const { status, cause } = await dnsByDoctor();
    assert.equal(status, leaks ? 'warn' : 'pass');
    assert.match(cause, leaks ? /past the tunnel: one$/ : /asks DNS servers from the container/);
    t.diagnostic(`engine ${host.engine.version}: DNS ${leaks ? 'past' : 'through'} the tunnel without --dns`);

    await host.engine.docker('network', 'disconnect', 'wgnet', 'two');
    assert.notDeepEqual(await lookUp('one', 'two'), ['192.168.5.3'], 'who has left is not known any more');
  });
});
