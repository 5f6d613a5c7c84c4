import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** The names of the files that a driver keeps of endpoints, in its folder of state. */
export async function endpointFiles(state: string): Promise<string[]> {
  const boots = await readdir(join(state, 'boots')).catch(() => []);
  const folders = boots.map((boot) => readdir(join(state, 'boots', boot, 'endpoints')));
  return (await Promise.all(folders)).flat().sort();
}
