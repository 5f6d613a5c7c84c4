import { resolve } from 'node:path';
import { engineSocket } from '../engine/docker-host.ts';
import { RequestError } from '../engine/request.ts';
import { defaultSecretsFolder } from '../networks/options.ts';

/** The option of the commands that read seed files of networks. */
export const secretsOption = {
  'secrets-dir': {
    type: 'string',
    default: defaultSecretsFolder,
    valueHint: 'FOLDER',
    description: 'Folder of the files that a network’s options name without a path',
  },
} as const;

/** The option of the commands that ask the engine. */
export const engineOption = {
  'docker-socket': {
    type: 'string',
    valueHint: 'PATH',
    description:
      'Docker’s unix socket (Default: that of DOCKER_HOST or of Docker’s context, else /var/run/docker.sock)',
  },
} as const;

/** The path of the engine's socket. */
export function engineSocketOf(args: { readonly 'docker-socket'?: string | undefined }): string {
  return resolve(args['docker-socket'] ?? engineSocket(process.env));
}

/** What a request to the engine has met, with what to do if nobody answers there. */
export function engineFault(socketPath: string, error: unknown): unknown {
  return error instanceof RequestError && error.status === undefined
    ? new Error(
        `Docker does not answer on ${socketPath} (${error.code ?? error.message}): start it, or name its socket ` +
          'with --docker-socket or DOCKER_HOST',
      )
    : error;
}
