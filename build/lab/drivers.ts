import { resolve } from 'node:path';
import { executable } from '../host/driver.ts';
import type { GuestFiles } from './index.ts';
import { projectFolder } from './project.ts';

/** A driver for scenarios in a guest: what it takes beside projectFiles, and how tests are told of it. */
export interface GuestDriver {
  readonly files: GuestFiles;
  readonly env: Readonly<Record<string, string>>;
}

const wgdriver = '/usr/local/bin/wgdriver';

/** In the full run a hundred containers, which take an emulated engine 20 minutes, come up with one of the drivers. */
const few = { WGDRIVER_TEST_CONTAINERS: '10' };

/** The ways to run the driver that are promised. The executable is made by `npm run build:exe`. */
export const drivers = {
  'netlink on the executable': {
    files: { [wgdriver]: executable },
    env: { WGDRIVER_TEST_BINARY: wgdriver, WGDRIVER_TEST_BACKEND: 'netlink', ...few },
  },
  'netlink on Deno': {
    files: { '/usr/local/bin/deno': resolve('test/runtimes/node_modules/deno/deno') },
    env: {
      WGDRIVER_TEST_BINARY: `${projectFolder}/build/host/deno/wgdriver`,
      WGDRIVER_TEST_BACKEND: 'netlink',
      ...few,
    },
  },
  'iproute on Node': { files: {}, env: { WGDRIVER_TEST_BACKEND: 'iproute' } },
} as const satisfies Record<string, GuestDriver>;
