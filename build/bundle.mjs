// Bundles src/cli.ts into dist/wgdriver, one executable file that needs nothing beside it.
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const outfile = 'dist/wgdriver';

await build({
  entryPoints: ['src/cli.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  minifySyntax: true,
  legalComments: 'eof',
  // Node runs a file without extension as a module if it looks like one, from 20.19 on. Some libraries
  // are CommonJS and call require() for Node's own modules, which a module has to make for itself.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
});
await chmod(outfile, 0o755);
