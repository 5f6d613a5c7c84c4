import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

/** Where the engine listens unless it is told otherwise (dockerd's --host). */
export const defaultSocket = '/var/run/docker.sock';

/**
 * The path of the socket of this host's engine, as the docker command finds it: by DOCKER_HOST, else by the context of
 * DOCKER_CONTEXT or of the configuration (docs.docker.com, Docker contexts).
 * @throws Error for an engine that is reached otherwise: it is not the one that calls this host's driver
 */
export function engineSocket(env: NodeJS.ProcessEnv): string {
  if (env.DOCKER_HOST) {
    return pathOf(env.DOCKER_HOST, 'DOCKER_HOST');
  }
  const folder = env.DOCKER_CONFIG || join(env.HOME ?? '/', '.docker');
  const context = env.DOCKER_CONTEXT || currentContext(folder);
  return context === undefined || context === 'default'
    ? defaultSocket
    : pathOf(hostOfContext(folder, context), `Docker context ${context}`);
}

function pathOf(host: string, source: string): string {
  const path = /^unix:\/\/(?<path>\/.+)$/.exec(host)?.groups?.path;
  if (path === undefined) {
    // An address may hold a password.
    const scheme = /^[a-z]+:\/\//.exec(host)?.[0] ?? 'no unix:///PATH';
    throw new Error(
      `${source} has ${scheme}…, but wgdriver talks to Docker only over a unix socket: run this where Docker ` +
        'runs, or give --docker-socket PATH',
    );
  }
  return path;
}

const Configuration = v.object({ currentContext: v.optional(v.string()) });

function currentContext(folder: string): string | undefined {
  try {
    const text = readFileSync(join(folder, 'config.json'), 'utf8');
    return v.parse(Configuration, JSON.parse(text)).currentContext || undefined;
  } catch {
    // The docker command goes on without a configuration that it cannot read.
    return undefined;
  }
}

const Metadata = v.object({ Endpoints: v.object({ docker: v.object({ Host: v.string() }) }) });

function hostOfContext(folder: string, context: string): string {
  // docker/cli, cli/context/store: a folder for each, named by the digest of its name.
  const digest = createHash('sha256').update(context).digest('hex');
  try {
    const text = readFileSync(join(folder, 'contexts', 'meta', digest, 'meta.json'), 'utf8');
    return v.parse(Metadata, JSON.parse(text)).Endpoints.docker.Host;
  } catch {
    throw new Error(
      `Docker context ${context} cannot be read: choose one that \`docker context ls\` lists, or give ` +
        '--docker-socket PATH',
    );
  }
}
