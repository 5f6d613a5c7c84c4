import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Tells systemd that this service is ready, if systemd started it and asks (sd_notify(3)). By the program
 * systemd-notify, as Node has no datagram sockets of the unix kind.
 * @throws Error if it cannot be told: systemd would take the service for one that failed, later and in silence
 */
export async function notifyReady(env: NodeJS.ProcessEnv): Promise<void> {
  if (env.NOTIFY_SOCKET === undefined) {
    return;
  }
  const child = spawn('systemd-notify', ['--ready'], { stdio: 'ignore', env });
  const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (status !== 0) {
    throw new Error(`systemd-notify --ready ended with ${status ?? signal}`);
  }
}
