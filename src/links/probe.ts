import { type Outcome, run } from '../programs/run.ts';

/** Does this kernel make WireGuard links? Really makes one, in a namespace that ends with the probe. */
export function probeKernelWireGuard(): Promise<Outcome> {
  return run('unshare', ['--net', 'ip', 'link', 'add', 'dev', 'wgprobe', 'type', 'wireguard']);
}

/** Is a program on the PATH? `command -v` runs nothing. */
export function probeProgram(name: string): Promise<Outcome> {
  return run('sh', ['-c', 'command -v "$1"', 'sh', name]);
}
