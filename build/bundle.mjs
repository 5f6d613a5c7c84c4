// Bundles src/cli.ts into dist/wgdriver, one executable file that needs nothing beside it.
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const outfile = 'dist/wgdriver';

// Node runs a file without extension as a module if it looks like one, from 20.19 on. Some libraries are
// CommonJS and expect what a module has to make for itself.
const banner = `#!/usr/bin/env node
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const __filename = import.meta.filename;`;

await build({
  entryPoints: ['src/cli.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  minifySyntax: true,
  legalComments: 'eof',
  banner: { js: banner },
});
await chmod(outfile, 0o755);
