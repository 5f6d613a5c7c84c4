import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The names of the files that a driver keeps of endpoints, in its folder of state. */
export async function endpointFiles(state: string): Promise<string[]> {
  const boots = await readdir(join(state, 'boots')).catch(() => []);
  const folders = boots.map((boot) => readdir(join(state, 'boots', boot, 'endpoints')));
  return (await Promise.all(folders)).flat().sort();
}

/** Those of them that no container has joined. */
export async function unjoinedEndpointFiles(state: string): Promise<string[]> {
  const boots = await readdir(join(state, 'boots')).catch(() => []);
  const joins = boots.map((boot) => readdir(join(state, 'boots', boot, 'joined')).catch(() => []));
  const joined = (await Promise.all(joins)).flat();
  return (await endpointFiles(state)).filter((name) => !joined.includes(name));
}

/** Makes the state of a driver that does not run what 0.1.0 would have written of the same networks, endpoints and Joins. */
export async function asWrittenBy010(state: string): Promise<void> {
  const boots = join(state, 'boots');
  for (const name of await readdir(join(state, 'networks'))) {
    const file = join(state, 'networks', name);
    const record = { ...JSON.parse(await readFile(file, 'utf8')), version: 1 };
    await writeFile(file, `${JSON.stringify(record, null, 2)}\n`);
  }
  await mkdir(join(state, 'endpoints'), { recursive: true, mode: 0o700 });
  await mkdir(join(state, 'joined'), { recursive: true, mode: 0o700 });
  for (const bootId of await readdir(boots)) {
    for (const name of await readdir(join(boots, bootId, 'endpoints'))) {
      const text = await readFile(join(boots, bootId, 'endpoints', name), 'utf8');
      const { endpointId, networkId, addresses, address = addresses[0] } = JSON.parse(text);
      const record = { version: 1, endpointId, networkId, address, bootId };
      await writeFile(join(state, 'endpoints', name), `${JSON.stringify(record, null, 2)}\n`, {
        mode: 0o600,
      });
    }
    await rename(join(boots, bootId, 'joined'), join(state, 'joined', bootId));
  }
  await rm(boots, { recursive: true });
}
