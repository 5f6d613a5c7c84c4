import { readdir, readFile } from 'node:fs/promises';
import { attempt, run, until } from './commands.ts';
import { endpointFiles } from './state.ts';

/** What a host has of the things that drivers leave behind, each as lines that can be compared. */
export interface Traces {
  readonly links: readonly string[];
  readonly processes: readonly string[];
  readonly sockets: readonly string[];
  readonly namespaces: readonly string[];
  readonly state: readonly string[];
}

/** Programs whose processes count: those of tunnels and containers, not the tests' own. */
const watchedPrograms = /^(wireguard-go|boringtun|containerd-shim|docker-proxy)/;

export async function takeTraces(): Promise<Traces> {
  return {
    links: (await run('ip', ['-brief', 'link', 'show']))
      .split('\n')
      .map((line) => line.split(/[\s@]/)[0] ?? ''),
    processes: await processNames(),
    sockets: (await Promise.all(['/run/wireguard', '/run/docker/plugins'].map(filesOf))).flat(),
    namespaces: (await attempt('lsns', ['--noheadings', '--type', 'net', '--output', 'NS'])).stdout
      .trim()
      .split('\n'),
    state: [...(await filesOf('/var/lib/wgdriver/networks')), ...(await endpointFiles('/var/lib/wgdriver'))],
  };
}

/** Waits until nothing is left that was not there before. @throws Error that names what is */
export async function expectNoTraceSince(before: Traces): Promise<void> {
  let left = '';
  await until('nothing is left behind', async () => {
    const now = await takeTraces();
    left = Object.entries(now)
      .map(([kind, lines]) => [kind, surplus(lines, before[kind as keyof Traces])] as const)
      .filter(([, lines]) => lines.length > 0)
      .map(([kind, lines]) => `${kind}: ${lines.join(', ')}`)
      .join('; ');
    return left === '';
  }).catch(() => {
    throw new Error(`left behind: ${left}`);
  });
}

function surplus(now: readonly string[], before: readonly string[]): string[] {
  const rest = [...before];
  return now.filter((line) => {
    const index = rest.indexOf(line);
    if (index >= 0) {
      rest.splice(index, 1);
    }
    return index < 0;
  });
}

async function processNames(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const names = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')));
  return names.map((name) => name.trim()).filter((name) => watchedPrograms.test(name));
}

async function filesOf(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).map((name) => `${folder}/${name}`);
}
