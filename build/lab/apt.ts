import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command } from './command.ts';

/** This machine's Debian release, such as `bookworm`; undefined if it is not a Debian. */
export async function hostRelease(): Promise<string | undefined> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^ID=debian$/m.test(text) ? /^VERSION_CODENAME=(\w+)$/m.exec(text)?.[1] : undefined;
}

/** Where this machine takes Debian's main archive from, as its own apt is configured. */
export async function debianMirror(): Promise<string> {
  const release = await hostRelease();
  const targets = await command([
    'apt-get',
    'indextargets',
    // Without it apt names nothing on a machine that never ran `apt-get update`.
    '--no-release-info',
    '--format',
    '$(RELEASE) $(COMPONENT) $(REPO_URI)',
    'Created-By: Packages',
  ]);
  for (const line of targets.split('\n')) {
    const [suite, component, uri] = line.split(' ');
    if (component === 'main' && uri && (suite === release || suite === 'stable')) return uri;
  }
  throw new Error(`apt's sources name no main archive of ${release ?? 'Debian'}`);
}

/** apt's own transport settings (proxies, date checks), each as a line of apt.conf. */
export async function transportSettings(): Promise<string[]> {
  const dump = await command(['apt-config', 'dump', '--no-empty']);
  return dump.split('\n').filter((line) => /^Acquire::(http|https|Check-|Retries)/.test(line));
}

/**
 * Installs packages, each NAME or NAME/RELEASE, with backports offered on top of the machine's own
 * sources for this one call: lists and downloads live in a folder that is removed, so that the machine's
 * next `apt-get upgrade` sees what it saw before.
 */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const release = await hostRelease();
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-lab-apt-'));
  try {
    const parts = join(folder, 'sources.list.d');
    await cp('/etc/apt/sources.list.d', parts, { recursive: true }).catch(() => mkdir(parts));
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    const source = `deb [signed-by=${keyring}] ${await debianMirror()} ${release}-backports main\n`;
    await writeFile(join(parts, 'wgdriver-lab.list'), source);
    await mkdir(join(folder, 'lists/partial'), { recursive: true });
    await mkdir(join(folder, 'cache/archives/partial'), { recursive: true });
    const apt = (...words: string[]) => [
      'apt-get',
      '-qq',
      '-o',
      `Dir::Etc::sourceparts=${parts}`,
      '-o',
      `Dir::State::lists=${folder}/lists`,
      '-o',
      `Dir::Cache=${folder}/cache`,
      // The folder belongs to root; without this apt warns that it cannot drop its privileges there.
      '-o',
      'APT::Sandbox::User=root',
      '-o',
      'DPkg::Lock::Timeout=600',
      ...words,
    ];
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const install = ['install', '-y', '--no-install-recommends'];
    await command(apt('update'), { env });
    await command(apt(...install, '--download-only', ...packages), { env });
    await command(apt(...install, '--no-download', ...packages), { env, uninterruptible: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
