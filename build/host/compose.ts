import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { attempt, run } from './commands.ts';
import { wgdriver } from './driver.ts';
import { type Engine, importTestImage } from './engine.ts';
import type { Tunnel } from './tunnel.ts';

/** A copy of a compose example, run as its README says, with `examplesImage`. */
export interface ComposeProject {
  readonly folder: string;
  /** Runs a program in the example's folder. */
  run(file: string, ...args: readonly string[]): Promise<string>;
  /** Runs `docker compose …`, or docker-compose's first or second version, as the machine has it. */
  compose(...args: readonly string[]): Promise<string>;
  /** What `compose` is called here, for people to read. */
  readonly command: string;
  remove(): Promise<void>;
}

/** The image of examples. It has a name of its own: scenarios that run in one process change that of the tests. */
export const examplesImage = 'wgdriver-examples';

export function importExamplesImage(engine: Engine, tunnel: Tunnel): Promise<void> {
  return importTestImage(engine, programsOfExamples(tunnel), examplesImage);
}

/**
 * What an image needs beside busybox to be hub and app of an example. The apps have no NET_RAW:
 * busybox cannot ping without it, and its sh takes its own ping before any other.
 */
export function programsOfExamples({ backend }: Tunnel): readonly string[] {
  return ['ip', 'wg', 'ping', 'sh', ...(backend === 'userspace' ? ['wireguard-go'] : [])];
}

export async function openComposeExample(source: string, tunnel: Tunnel): Promise<ComposeProject> {
  const parent = await mkdtemp(join(tmpdir(), 'wgdriver-compose-'));
  const folder = join(parent, 'example');
  await cp(source, folder, { recursive: true });
  const asPlugin = (await attempt('docker', ['compose', 'version'])).status === 0;
  const [program, ...first] = asPlugin ? (['docker', 'compose'] as const) : (['docker-compose'] as const);
  const userspace = 'compose.userspace.yaml';
  const files = ['-f', 'compose.yaml'];
  if (tunnel.backend === 'userspace' && existsSync(join(folder, userspace))) {
    files.push('-f', userspace);
  }
  const env = {
    HUB_IMAGE: examplesImage,
    APP_IMAGE: examplesImage,
    PATH: `${dirname(wgdriver)}:${process.env.PATH}`,
  };
  const runHere = (file: string, ...args: readonly string[]) =>
    run('sh', ['-c', 'cd "$1" && shift && exec "$@"', 'sh', folder, file, ...args], env);
  return {
    folder,
    run: runHere,
    compose: (...args) => runHere(program, ...first, ...files, ...args),
    command: [program, ...first].join(' '),
    remove: () => rm(parent, { recursive: true }),
  };
}
