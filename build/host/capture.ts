import { startDaemon, untilReady } from './daemon.ts';

/** Every packet on every link of this network namespace, as tcpdump describes it, one a line. */
export interface Capture {
  lines(): string[];
  stop(): Promise<void>;
}

export async function startCapture(): Promise<Capture> {
  // Unbuffered, without names, and with a snapshot length that leaves no address out.
  const daemon = startDaemon('tcpdump', ['--interface=any', '-nn', '-l', '-U', '--snapshot-length=256']);
  await untilReady(daemon, 'tcpdump listens', () => daemon.output().includes('listening on any'));
  return {
    lines: () =>
      daemon
        .output()
        .split('\n')
        .filter((line) => / (In|Out|B|M|P) /.test(line)),
    stop: async () => {
      await daemon.stop();
    },
  };
}
