import { open } from 'node:fs/promises';
import { netlinkObstacle, probeWireGuardByNetlink } from '../links/netlink/probe.ts';
import { isInstalled, probeWireGuardByPrograms } from '../links/probe.ts';
import { userspaceProgram } from '../links/userspace/links.ts';
import { run } from '../programs/run.ts';
import { type Attempt, type Finding, fail, pass, skip, warn } from './finding.ts';

const tunDevice = '/dev/net/tun';

/** The two ways to a WireGuard link, as far as they go on this host. */
export interface WireGuardFacts {
  /** Making a link in the kernel; undefined if it was not tried, for want of rights, or of netlink and `ip`. */
  readonly kernel: Attempt | undefined;
  /** Whether `modprobe` would find the module; asked only where the kernel made no link. */
  readonly module: Attempt | undefined;
  readonly userspace: {
    /** The program that makes links where the kernel does not. */
    readonly program: string;
    readonly isInstalled: boolean;
    /** Why the TUN device cannot be opened, an errno; undefined if it can. */
    readonly tunError: string | undefined;
  };
  /** Is the program `wg` there? */
  readonly wg: boolean;
  /** Does this runtime configure the kernel's links without it? */
  readonly hasNetlink: boolean;
}

/**
 * @param mayMakeLinks whether this process has the rights
 * @param hasIp whether the program `ip` is there
 */
export async function probeWireGuard(
  mayMakeLinks: boolean,
  hasIp: boolean,
  env: NodeJS.ProcessEnv,
): Promise<WireGuardFacts> {
  const program = userspaceProgram(env);
  const hasNetlink = netlinkObstacle() === undefined;
  const kernel = mayMakeLinks ? await probeKernel(hasNetlink, hasIp) : undefined;
  const [module, hasUserspace, tunError, wg] = await Promise.all([
    kernel?.ok ? undefined : run('modprobe', ['--dry-run', 'wireguard']),
    isInstalled(program),
    probeTun(),
    isInstalled('wg'),
  ]);
  const userspace = { program, isInstalled: hasUserspace, tunError };
  return { kernel, module, userspace, wg, hasNetlink };
}

/** As `serve` would make a link. */
async function probeKernel(hasNetlink: boolean, hasIp: boolean): Promise<Attempt | undefined> {
  if (!hasNetlink && !hasIp) {
    return undefined;
  }
  const cause = await (hasNetlink ? probeWireGuardByNetlink() : probeWireGuardByPrograms());
  return cause === undefined ? { ok: true, stdout: '' } : { ok: false, cause };
}

/** The file may be there without the driver behind it, so it is opened. */
async function probeTun(): Promise<string | undefined> {
  try {
    await (await open(tunDevice, 'r+')).close();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

export function judgeKernelWireGuard({ kernel, userspace, hasNetlink }: WireGuardFacts): Finding {
  const name = 'kernel-wireguard';
  if (kernel === undefined) {
    return skip(name, `making a link needs root${hasNetlink ? '' : ' and the program ip'}`);
  }
  if (kernel.ok) {
    return pass(name, 'a test link could be made and deleted');
  }
  return canUserspace(userspace)
    ? warn(
        name,
        `links are made by ${userspace.program}, which is slower; the kernel says: ${kernel.cause}`,
        kernelFix,
      )
    : fail(
        name,
        `no link can be made; the kernel says: ${kernel.cause}`,
        `${kernelFix}; or see userspace-wireguard`,
      );
}

const kernelFix = '`modprobe wireguard`, or boot a kernel that has WireGuard (CONFIG_WIREGUARD)';

export function judgeModule({ kernel, module }: WireGuardFacts): Finding {
  const name = 'wireguard-module';
  if (kernel?.ok || module === undefined) {
    return pass(name, 'loaded, or built into the kernel');
  }
  if (module.ok) {
    return pass(name, 'modprobe can load it');
  }
  return kernel === undefined
    ? skip(name, 'loading it needs root')
    : warn(
        name,
        `it cannot be loaded: ${module.cause.replace(/^modprobe: /, '')}`,
        'install kmod and the modules of the running kernel; reboot first if the kernel has been upgraded',
      );
}

export function judgeUserspace({ kernel, userspace }: WireGuardFacts): Finding {
  const name = 'userspace-wireguard';
  const { program, isInstalled, tunError } = userspace;
  if (canUserspace(userspace)) {
    return pass(name, `${program} and ${tunDevice} are available`);
  }
  if (tunError === 'EACCES') {
    return skip(name, `only root may use ${tunDevice}`);
  }
  const cause = isInstalled ? `${tunDevice}: ${tunError}` : `the program ${program} is missing`;
  if (kernel?.ok) {
    return pass(name, `not needed, because the kernel has WireGuard (${cause})`);
  }
  const fix = isInstalled
    ? 'run `modprobe tun`, or pass the device into this container'
    : 'install wireguard-go, or name another program in WG_USERSPACE_IMPLEMENTATION';
  return kernel === undefined ? warn(name, cause, fix) : fail(name, cause, `${fix}; or see kernel-wireguard`);
}

export function judgeWg({ kernel, userspace, wg, hasNetlink }: WireGuardFacts): Finding {
  const name = 'wg';
  if (wg) {
    return pass(name, 'installed');
  }
  if (hasNetlink) {
    return pass(name, 'missing, and not needed: this runtime speaks netlink');
  }
  if (kernel?.ok === false) {
    return pass(name, 'missing, and not needed: userspace links are configured without it');
  }
  const cause = 'the program wg, which configures the kernel’s links, is missing';
  const fix = 'install wireguard-tools';
  return kernel === undefined || canUserspace(userspace) ? warn(name, cause, fix) : fail(name, cause, fix);
}

function canUserspace({ isInstalled, tunError }: WireGuardFacts['userspace']): boolean {
  return isInstalled && tunError === undefined;
}
