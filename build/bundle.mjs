// Bundles one executable file: `node build/bundle.mjs` makes dist/wgdriver, which needs nothing beside it;
// `node build/bundle.mjs demo` makes dist/demo.mjs. Beside dist/wgdriver comes dist/NOTICES, which it ends with, too.
import { mkdir } from 'node:fs/promises';
import { build } from 'esbuild';
import writeFileAtomic from 'write-file-atomic';
import { noticesOf } from './notices.mjs';

// Some libraries are CommonJS and expect what a module has to make for itself; so does lateBuiltins below.
const commonjs = `
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const __filename = import.meta.filename;`;

const bundles = {
  wgdriver: {
    entryPoints: ['src/cli.ts'],
    outfile: 'dist/wgdriver',
    // From 20.19 on, Node runs a file without extension as a module if it looks like one.
    banner: { js: `#!/usr/bin/env node${commonjs}` },
  },
  demo: { entryPoints: ['build/demo/demo.ts'], outfile: 'dist/demo.mjs', banner: { js: commonjs } },
  release: {
    entryPoints: ['build/release/release.ts'],
    outfile: 'dist/release.mjs',
    banner: { js: commonjs },
  },
};

const name = process.argv[2] ?? 'wgdriver';
const bundle = bundles[name];

/**
 * Node's own modules are loaded with the first module of ours that imports them, and so with the command that
 * needs them: as they stand, imports are done before anything else, and http and crypto take longer to load
 * than `wgdriver --version` in all.
 */
const lateBuiltins = {
  name: 'late-builtins',
  setup({ onResolve, onLoad }) {
    const filter = /^node:/;
    onResolve({ filter }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : { path, external: true },
    );
    onLoad({ filter, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require('${path}')`,
    }));
  },
};

const { metafile, outputFiles } = await build({
  metafile: true,
  write: false,
  plugins: [lateBuiltins],
  loader: { '.service': 'text', '.socket': 'text' },
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  // What is not there need not be parsed at each start. Names stay, and lines that a stack trace can point to.
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 120,
  ...bundle,
});
await mkdir('dist', { recursive: true });
let [{ text }] = outputFiles;
if (name === 'wgdriver') {
  const notices = noticesOf(metafile);
  await writeFileAtomic('dist/NOTICES', notices);
  // Wherever the one file is taken, they go along.
  text += `/*\n${notices.replaceAll('*/', '* /')}*/\n`;
}
// Whoever runs the one that is there goes on with it, whole.
await writeFileAtomic(bundle.outfile, text, { mode: 0o755 });
