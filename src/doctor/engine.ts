import { isOlder } from '../version-number.ts';
import type { Survey } from './engine-survey.ts';
import { type Finding, fail, pass, skip, warn } from './finding.ts';

const name = 'engine';

/** The oldest engine that the driver is tested with. */
const oldest = { major: 20, minor: 10 };

export function judgeEngine(socketPath: string, survey: Survey | Error): Finding {
  if (survey instanceof Error) {
    return judgeError(socketPath, survey);
  }
  const { version, versionText, isRootless, isDesktop } = survey;
  if (isRootless || isDesktop) {
    return fail(
      name,
      `the engine on ${socketPath} is ${isRootless ? 'rootless' : 'Docker Desktop’s'}, and its containers are out of reach of this host’s links`,
      'use Docker Engine, run by root, on Linux itself',
    );
  }
  const tested = `${oldest.major}.${oldest.minor}`;
  if (version === undefined) {
    return warn(
      name,
      `the engine on ${socketPath} reports the version ${versionText}`,
      `use release ${tested} or newer`,
    );
  }
  return isOlder(version, oldest)
    ? warn(
        name,
        `the engine on ${socketPath} is ${versionText}, older than any tested`,
        `upgrade it to ${tested} or newer`,
      )
    : pass(name, `${versionText} on ${socketPath}`);
}

function judgeError(socketPath: string, error: Error): Finding {
  const start = 'start the Docker engine, or name its socket with --docker-socket or DOCKER_HOST';
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EACCES':
      return skip(name, `only root and its group may use ${socketPath}`);
    case 'ENOENT':
      return fail(name, `${socketPath} does not exist`, start);
    case 'ECONNREFUSED':
      return fail(name, `nobody answers on ${socketPath}`, start);
    default:
      return fail(
        name,
        `what answers on ${socketPath} is not a Docker engine: ${error.message}`,
        'read the engine’s log, and restart it',
      );
  }
}
