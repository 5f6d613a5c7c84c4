import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Tells systemd that this service is ready, if systemd started it and asks (sd_notify(3)).
 * @throws Error if it cannot be told: systemd would take the service for one that failed, later and in silence
 */
export async function notifyReady(env: NodeJS.ProcessEnv): Promise<void> {
  const status = await notify(env, '--ready');
  if (status !== 0) {
    throw new Error(`systemd-notify --ready ended with ${status}`);
  }
}

/** What `systemctl status` shows; it is for people alone, so that it does not matter if it fails. */
export async function notifyStatus(env: NodeJS.ProcessEnv, status: string): Promise<void> {
  await notify(env, `--status=${status}`).catch(() => {});
}

/**
 * By the program systemd-notify, as Node has no datagram sockets of the unix kind. Before systemd 246 it does not wait
 * until its message was read, and one from a process that has ended by then is lost. So the message names this process
 * as its sender, which CAP_SYS_ADMIN may do (unix(7), SCM_CREDENTIALS), and which lives on.
 */
async function notify(env: NodeJS.ProcessEnv, message: string): Promise<number | string | undefined> {
  if (env.NOTIFY_SOCKET === undefined) {
    return 0;
  }
  const child = spawn('systemd-notify', [`--pid=${process.pid}`, message], { stdio: 'ignore', env });
  const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return status ?? signal ?? undefined;
}
