import { kernelWords } from '../programs/ip.ts';
import { run } from '../programs/run.ts';

/**
 * Why this kernel makes no WireGuard links, or undefined. Really makes one, in a namespace that ends with the
 * probe.
 */
export async function probeWireGuardByPrograms(): Promise<string | undefined> {
  const outcome = await run('unshare', ['--net', 'ip', 'link', 'add', 'dev', 'wgprobe', 'type', 'wireguard']);
  return outcome.ok ? undefined : kernelWords(outcome.stderr) || outcome.ending;
}

/** Is a program on the PATH? `command -v` runs nothing. */
export async function isInstalled(program: string): Promise<boolean> {
  return (await run('sh', ['-c', 'command -v "$1"', 'sh', program])).ok;
}
