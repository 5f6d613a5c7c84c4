/**
 * node build/lab/prepare.ts [SUITE…]: builds what guests boot and this machine has not kept, the kernel and an image of
 * each suite, or of those that are named, so that it is there when tests want it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { installLab } from './host.ts';
import { guestImage } from './image.ts';
import { umlKernel } from './kernel.ts';
import { locked } from './lock.ts';
import { SUITES } from './packages.ts';

const named = process.argv.slice(2);
const unknown = named.filter((word) => !SUITES.some((suite) => suite === word));
if (unknown.length > 0) {
  console.error(
    `usage: node build/lab/prepare.ts [${SUITES.join('|')}]…; there is no ${unknown.join(' or ')}`,
  );
  process.exit(2);
}
const suites = SUITES.filter((suite) => named.length === 0 || named.includes(suite));

await mkdir(cacheFolder(), { recursive: true });
await locked(join(cacheFolder(), 'install.lock'), installLab);
const images = (async () => {
  for (const suite of suites) await guestImage(suite);
})();
await Promise.all([umlKernel().catch((error: Error) => console.error(`lab: ${error.message}`)), images]);
