import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
    await writeFile(join(parts, 'wgdriver-lab.list'), await source(`${release}-backports`));
    const options = await privateLists(folder, [`Dir::Etc::sourceparts=${parts}`]);
    const apt = (...words: string[]) => ['apt-get', ...options, ...words];
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const install = ['install', '-y', '--no-install-recommends'];
    await command(apt('update'), { env });
    await command(apt(...install, '--download-only', ...packages), { env });
    await command(apt(...install, '--no-download', ...packages), { env, uninterruptible: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Fetches the package `name` in `version` from `suites` into `folder`, without installing it. If it has left
 * the archive, the newest of the packages whose names match `pattern`. @returns its file
 */
export async function fetchPackage(
  suites: readonly string[],
  name: string,
  version: string,
  pattern: string,
  folder: string,
): Promise<string> {
  const options = await updatedLists(suites, folder);
  const fetch = (what: string) =>
    command(['env', '--chdir', folder, 'apt-get', ...options, 'download', what]);
  try {
    await fetch(`${name}=${version}`);
  } catch (error) {
    const found = await command(['apt-cache', ...options, 'search', '--names-only', pattern]);
    const names = found.split('\n').flatMap((line) => line.split(' - ')[0] || []);
    const newest = names.sort((one, other) => other.localeCompare(one, 'en', { numeric: true }))[0];
    if (newest === undefined) throw error;
    await fetch(newest);
  }
  const file = (await readdir(folder)).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new Error(`apt-get download ${name}: no file`);
  return join(folder, file);
}

/**
 * Fetches packages of `suite` into `folder`, with all that they depend on and a machine has not. @returns their files
 * @param status the machine's /var/lib/dpkg/status
 */
export async function fetchWithDependencies(
  suite: string,
  packages: readonly string[],
  status: string,
  folder: string,
): Promise<string[]> {
  const options = await updatedLists([suite], folder, [`Dir::State::status=${status}`]);
  const install = ['install', '-y', '--no-install-recommends', '--download-only'];
  await command(['apt-get', ...options, ...install, ...packages]);
  const archives = join(folder, 'cache/archives');
  return (await readdir(archives)).flatMap((file) => (file.endsWith('.deb') ? join(archives, file) : []));
}

/** Fetches the lists of `suites` into `folder`. @returns options for apt's programs that use them and no others */
async function updatedLists(
  suites: readonly string[],
  folder: string,
  settings: readonly string[] = [],
): Promise<string[]> {
  const sources = join(folder, 'sources.list');
  await writeFile(sources, (await Promise.all(suites.map(source))).join(''));
  const options = await privateLists(folder, [
    ...settings,
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=-',
    // A testing suite's Release file can be past its date on a mirror.
    'Acquire::Check-Valid-Until=false',
  ]);
  await command(['apt-get', ...options, 'update']);
  return options;
}

/** A line of sources.list for `suite`, from where this machine takes Debian's archive. */
async function source(suite: string): Promise<string> {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  return `deb [signed-by=${keyring}] ${await debianMirror()} ${suite} main\n`;
}

/** Options for apt's programs that keep lists and downloads in `folder`, with `settings` beside them. */
async function privateLists(folder: string, settings: readonly string[]): Promise<string[]> {
  await mkdir(join(folder, 'lists/partial'), { recursive: true });
  await mkdir(join(folder, 'cache/archives/partial'), { recursive: true });
  const all = [
    ...settings,
    `Dir::State::lists=${folder}/lists`,
    `Dir::Cache=${folder}/cache`,
    // The folder belongs to root; without this apt warns that it cannot drop its privileges there.
    'APT::Sandbox::User=root',
    'DPkg::Lock::Timeout=600',
  ];
  return ['-qq', ...all.flatMap((setting) => ['-o', setting])];
}
