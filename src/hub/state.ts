import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { formatEndpoint, type PeerEndpoint, parseEndpoint } from '../wireguard/device.ts';
import { type PublicKey, parsePublicKey } from '../wireguard/key.ts';
import { syncFolder } from './files.ts';

/** What a hub remembers over a boot: where its peers were, and which keys have got their addresses. No secret. */
export interface HubState {
  readonly endpoints: ReadonlyMap<PublicKey, PeerEndpoint>;
  readonly moved: ReadonlySet<PublicKey>;
  saveEndpoints(endpoints: ReadonlyMap<PublicKey, PeerEndpoint>): Promise<void>;
  /** Adds keys; on disk when it returns: an address never goes back to an older key, not after a power cut either. */
  addMoved(keys: readonly PublicKey[]): Promise<void>;
  /** Forgets all others. */
  keepMoved(keys: ReadonlySet<PublicKey>): Promise<void>;
}

/** Opens the state of a hub in a folder of its own. What cannot be read there counts as not remembered. */
export async function openHubState(folder: string): Promise<HubState> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [endpointsFile, movedFile] = [join(folder, 'endpoints'), join(folder, 'moved')];
  const endpoints = new Map<PublicKey, PeerEndpoint>();
  for (const line of await linesOf(endpointsFile)) {
    const [key = '', text = ''] = line.split(' ');
    const [publicKey, endpoint] = [parsePublicKey(key), parseEndpoint(text)];
    if (publicKey !== undefined && endpoint !== undefined) {
      endpoints.set(publicKey, endpoint);
    }
  }
  const moved = new Set((await linesOf(movedFile)).flatMap((line) => parsePublicKey(line) ?? []));
  /** Is the file's place in the folder on disk, too? One that was killed may have left that undone. */
  let isMovedListed = false;
  return {
    endpoints,
    moved,
    async saveEndpoints(current) {
      const text = linesFor(current);
      if (text === linesFor(endpoints)) {
        return;
      }
      endpoints.clear();
      for (const [key, endpoint] of current) {
        endpoints.set(key, endpoint);
      }
      // Not worth a wait for the disk: after a power cut the ones of before will do, or none.
      await writeFileAtomic(endpointsFile, text, { mode: 0o600, fsync: false });
    },
    async addMoved(keys) {
      const file = await open(movedFile, 'a', 0o600);
      try {
        // A power cut may have left half a line at the end.
        await file.write(`\n${keys.map((key) => `${key}\n`).join('')}`);
        await file.datasync();
      } finally {
        await file.close();
      }
      if (!isMovedListed) {
        await syncFolder(folder);
        isMovedListed = true;
      }
      for (const key of keys) {
        moved.add(key);
      }
    },
    async keepMoved(keys) {
      const kept = [...moved].filter((key) => keys.has(key));
      if (kept.length === moved.size) {
        return;
      }
      await writeFileAtomic(movedFile, kept.map((key) => `${key}\n`).join(''), { mode: 0o600 });
      await syncFolder(folder);
      for (const key of moved) {
        if (!keys.has(key)) {
          moved.delete(key);
        }
      }
    },
  };
}

function linesFor(endpoints: ReadonlyMap<PublicKey, PeerEndpoint>): string {
  return [...endpoints].map(([key, endpoint]) => `${key} ${formatEndpoint(endpoint)}\n`).join('');
}

async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}
