import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';

/** The last commit of 0.1.0. */
const commit = '3a0f40e';

/** The bundle of 0.1.0, made with its own libraries; undefined where its commit is not, as in a shallow clone. */
export function bundleOfFirstRelease(): string | undefined {
  const folder = resolve('dist/0.1.0');
  const bundle = `${folder}/dist/wgdriver`;
  if (!existsSync(bundle)) {
    // Of an attempt that failed.
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    try {
      const sources = execFileSync('git', ['archive', commit], {
        maxBuffer: 64 * 1024 * 1024,
        stdio: 'pipe',
      });
      execFileSync('tar', ['-x', '-C', folder], { input: sources });
    } catch {
      return undefined;
    }
    execFileSync('npm', ['ci', '--silent'], { cwd: folder, stdio: 'inherit' });
    execFileSync(process.execPath, ['build/bundle.mjs'], { cwd: folder, stdio: 'inherit' });
  }
  return bundle;
}
