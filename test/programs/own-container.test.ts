import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { isInOwnContainer } from '../../src/programs/own-container.ts';

const folder = await mkdtemp(join(tmpdir(), 'wgdriver-container-'));
after(() => rm(folder, { recursive: true }));

const ofHost = '26 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw\n27 26 0:20 / /proc rw - proc proc rw\n';
const ofContainer = '612 540 0:45 / / rw,relatime - overlay overlay rw,lowerdir=/l\n';
const dockers = { '/.dockerenv': '' };

let made = 0;
async function isIn(
  { pid = 7, ppid = 5 }: { readonly pid?: number; readonly ppid?: number },
  files: Readonly<Record<string, string>>,
): Promise<boolean> {
  const root = join(folder, String(made++));
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(root + file), { recursive: true });
    await writeFile(root + file, text);
  }
  return isInOwnContainer({ pid, ppid, root });
}
const proc = (comm: string, ofFirst: string, own = ofFirst) => ({
  '/proc/1/comm': `${comm}\n`,
  '/proc/1/mountinfo': ofFirst,
  '/proc/self/mountinfo': own,
});

test('process 1 of a container or of a managed plugin', async () => {
  assert(await isIn({ pid: 1, ppid: 0 }, proc('node', ofContainer)));
});

test('a container with --init, of Docker and of Podman', async () => {
  assert(await isIn({ ppid: 1 }, { ...dockers, ...proc('docker-init', ofContainer) }));
  assert(await isIn({ ppid: 1 }, { '/run/.containerenv': '', ...proc('catatonit', ofContainer) }));
});

test('a container with --pid=host', async () => {
  assert(await isIn({ ppid: 4711 }, { ...dockers, ...proc('systemd', ofHost, ofContainer) }));
});

test('a service of a host, also with mounts of its own', async () => {
  const ofUnit = `900 26 254:0 / / rw,relatime - ext4 /dev/vda1 rw\n`;
  assert(!(await isIn({ ppid: 1 }, proc('systemd', ofHost, ofUnit))));
});

test('a machine of a container image, and a container with the engine in it', async () => {
  assert(!(await isIn({ ppid: 1 }, { ...dockers, ...proc('systemd', ofHost) })));
  assert(!(await isIn({ ppid: 9 }, { ...dockers, ...proc('docker-init', ofContainer) })));
  assert(!(await isIn({ ppid: 9 }, { ...dockers, ...proc('sh', ofContainer) })));
});
