import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { hostRelease, installPackages } from './apt.ts';
import { command } from './command.ts';
import { HostError } from './errors.ts';
import { HOST_PROGRAMS, OLDEST_QEMU, QEMU_PACKAGES } from './packages.ts';

/** Why this machine cannot host the lab at all, in a few words; undefined when it can. */
export async function labObstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the lab needs Linux on x86-64';
  if (process.getuid?.() !== 0) return 'the lab needs root (it builds Debian images)';
  if ((await hostRelease()) === undefined) return 'the lab needs a Debian host (it builds from apt)';
  return undefined;
}

/** Packages this machine lacks for the lab; NAME/RELEASE where the machine's own release is too old. */
export async function missingHostPackages(): Promise<string[]> {
  const missing = new Set<string>();
  for (const [program, name] of Object.entries(HOST_PROGRAMS)) {
    if (!(await onPath(program))) missing.add(name);
  }
  if ((await qemuVersion()) >= OLDEST_QEMU) return [...missing];
  for (const name of QEMU_PACKAGES) missing.add(name);
  const release = await hostRelease();
  if ((await candidateQemu()) >= OLDEST_QEMU) return [...missing];
  return [...missing].map((name) => (QEMU_PACKAGES.includes(name) ? `${name}/${release}-backports` : name));
}

/**
 * Installs what the lab lacks on this machine: nothing if all is there. The packages stay, apt's sources
 * are as before.
 */
export async function installLab(): Promise<void> {
  const obstacle = await labObstacle();
  if (obstacle) throw new HostError(obstacle);
  const packages = await missingHostPackages();
  if (packages.length > 0) await installPackages(packages);
}

async function onPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(folder, program)).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

async function qemuVersion(): Promise<number> {
  const text = await command(['qemu-system-x86_64', '--version']).catch(() => '');
  return Number(/version (\d+)/.exec(text)?.[1] ?? 0);
}

async function candidateQemu(): Promise<number> {
  const text = await command(['apt-cache', 'policy', 'qemu-system-x86'], { env: { LC_ALL: 'C' } });
  return Number(/Candidate: (?:\d+:)?(\d+)/.exec(text)?.[1] ?? 0);
}
