/** Where the engine listens unless it is told otherwise (dockerd's --host). */
const defaultSocket = '/var/run/docker.sock';

/**
 * The path of the socket of this host's engine: DOCKER_HOST's if that is `unix://…`. Any other DOCKER_HOST
 * is an engine elsewhere, which is not the one that calls this host's driver.
 */
export function engineSocket({ DOCKER_HOST }: NodeJS.ProcessEnv): string {
  return /^unix:\/\/(?<path>\/.+)$/.exec(DOCKER_HOST ?? '')?.groups?.path ?? defaultSocket;
}
