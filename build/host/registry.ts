import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaemon, untilReady } from './daemon.ts';

/** A real registry on loopback, from which an engine takes images and plugins without TLS. */
export interface Registry {
  /** What the names of its images and plugins begin with. */
  readonly address: string;
  close(): Promise<void>;
}

export async function startRegistry(): Promise<Registry> {
  const address = '127.0.0.1:5000';
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-registry-'));
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: address },
  };
  // JSON is YAML.
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config));
  const daemon = startDaemon('docker-registry', ['serve', join(folder, 'config.yml')]);
  const url = `http://${address}/v2/`;
  await untilReady(daemon, 'the registry answers', () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return {
    address,
    async close() {
      await daemon.stop();
      await rm(folder, { recursive: true });
    },
  };
}
