import { resolve } from 'node:path';
import type { GuestFiles } from '../../build/lab/index.ts';
import { projectFiles, projectFolder } from '../../build/lab/project.ts';

/** Beside what scenarios need: what the tests of faults take from the rest. */
export const faultFiles: GuestFiles = {
  ...projectFiles,
  ...Object.fromEntries(
    [
      'src',
      'test/faults',
      'test/support',
      'node_modules/@noble',
      'node_modules/consola',
      'node_modules/imurmurhash',
      'node_modules/ipaddr.js',
      'node_modules/signal-exit',
      'node_modules/valibot',
      'node_modules/write-file-atomic',
    ].map((path) => [`${projectFolder}/${path}`, resolve(path)]),
  ),
};
