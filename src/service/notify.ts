import { run } from '../programs/run.ts';

/**
 * Tells systemd that this service is ready, if systemd started it and asks (sd_notify(3)).
 * @throws Error if it cannot be told: systemd would take the service for one that failed, later and in silence
 */
export async function notifyReady(env: NodeJS.ProcessEnv): Promise<void> {
  const failure = await notify(env, '--ready');
  if (failure !== undefined) {
    throw new Error(`tell systemd that the service is ready: ${failure}`);
  }
}

/** What `systemctl status` shows; it is for people alone, so that it does not matter if it fails. */
export async function notifyStatus(env: NodeJS.ProcessEnv, status: string): Promise<void> {
  await notify(env, `--status=${status}`);
}

/**
 * By the program systemd-notify, as Node has no datagram sockets of the unix kind. Before systemd 246 it does not wait
 * until its message was read, and one from a process that has ended by then is lost. So the message names this process
 * as its sender, which CAP_SYS_ADMIN may do (unix(7), SCM_CREDENTIALS), and which lives on.
 * @returns why it failed
 */
async function notify({ NOTIFY_SOCKET }: NodeJS.ProcessEnv, message: string): Promise<string | undefined> {
  if (NOTIFY_SOCKET === undefined) {
    return undefined;
  }
  const outcome = await run('systemd-notify', [`--pid=${process.pid}`, message], { env: { NOTIFY_SOCKET } });
  return outcome.ok ? undefined : outcome.cause;
}
