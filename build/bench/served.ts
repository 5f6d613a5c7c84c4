/** A driver as the engine sees it, with networks: for benches that call it at its socket. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { PrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { type Daemon, startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';

export const peer = publicKeyOf(new PrivateKey(new Uint8Array(32).fill(8)));

export interface Served {
  readonly daemon: Daemon;
  readonly call: (method: string, body: object) => Promise<object>;
}

/** @param bundle another than the one under test */
export async function serve(title: string, backend: string, bundle = wgdriver): Promise<Served> {
  const socketPath = `/run/bench-${title}.sock`;
  const daemon = startDaemon('node', [
    bundle,
    'serve',
    `--backend=${backend}`,
    `--name=bench-${title}`,
    `--socket=${socketPath}`,
    `--state-dir=/var/lib/bench-${title}`,
  ]);
  await untilReady(daemon, 'wgdriver serves', () => daemon.output().includes(' serving '));
  // As the engine does it: connections are kept.
  const agent = new Agent({ keepAlive: true });
  const call = async (method: string, body: object) => {
    const text = await post(agent, socketPath, `/NetworkDriver.${method}`, JSON.stringify(body));
    const answer = JSON.parse(text) as { Err?: string };
    if (answer.Err !== undefined) {
      throw new Error(`${title}: ${method}: ${answer.Err}`);
    }
    return answer;
  };
  return { daemon, call };
}

/** A network of 65,533 addresses, 10.9.0.0/16. @returns its id */
export async function createNetwork(call: Served['call'], killswitch: 'on' | 'off'): Promise<string> {
  const networkId = randomBytes(32).toString('hex');
  await call('CreateNetwork', {
    NetworkID: networkId,
    Options: {
      'com.docker.network.generic': {
        'io.bestov.wg.peer': '127.0.0.1:51820',
        'io.bestov.wg.peerkey': peer,
        'io.bestov.wg.seed': randomBytes(32).toString('base64'),
        'io.bestov.wg.killswitch': killswitch,
      },
    },
    IPv4Data: [{ AddressSpace: 'LocalDefault', Gateway: '10.9.0.1/16', Pool: '10.9.0.0/16' }],
    IPv6Data: [],
  });
  return networkId;
}

export function residentMegabytes({ pid }: Pick<Daemon, 'pid'>): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Of all threads of a process: in ticks of 10 ms, so only the mean of many tells anything. */
export function processorMs({ pid }: Pick<Daemon, 'pid'>): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = fields.split(' ').slice(11);
  return 10 * (Number(user) + Number(system));
}

function post(agent: Agent, socketPath: string, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Length': Buffer.byteLength(body) };
    const sent = request({ agent, socketPath, path, method: 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
