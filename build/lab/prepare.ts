/**
 * node build/lab/prepare.ts: builds what guests boot and this machine has not kept, the kernel and an image of
 * each suite, so that it is there when tests want it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { installLab } from './host.ts';
import { guestImage } from './image.ts';
import { umlKernel } from './kernel.ts';
import { locked } from './lock.ts';
import { SUITES } from './packages.ts';

await mkdir(cacheFolder(), { recursive: true });
await locked(join(cacheFolder(), 'install.lock'), installLab);
const images = (async () => {
  for (const suite of SUITES) await guestImage(suite);
})();
await Promise.all([umlKernel().catch((error: Error) => console.error(`lab: ${error.message}`)), images]);
