import { stat } from 'node:fs/promises';
import { defaultSecretsFolder, optionPrefix, secretFileOf } from '../networks/options.ts';
import type { Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

type Secrets = Pick<Survey, 'networks' | 'configs'>;

/** The files with secrets of networks that others than root can read. Those that are not there say nothing. */
export async function probeSecretFiles(
  { networks, configs }: Secrets,
  secretsFolder = defaultSecretsFolder,
): Promise<string[]> {
  const files = new Set(
    [...networks, ...configs].flatMap(({ secretFiles }) =>
      secretFiles.map((file) => secretFileOf({ file }, secretsFolder)),
    ),
  );
  const open: string[] = [];
  for (const file of files) {
    const mode = await stat(file).then(
      (found) => found.mode,
      () => 0,
    );
    if ((mode & 0o077) !== 0) {
      open.push(file);
    }
  }
  return open;
}

/** @param openFiles as probeSecretFiles gives them */
export function judgeSeeds({ networks, configs }: Secrets, openFiles: readonly string[]): Finding {
  const open = [...networks, ...configs].filter(({ optionNames }) =>
    optionNames.includes(`${optionPrefix}seed`),
  );
  const shown = `\`docker network inspect\` shows the seed of ${listed(open.map((network) => network.name))}`;
  const readable = `users other than root can read ${listed(openFiles)}`;
  const causes = [...(open.length > 0 ? [shown] : []), ...(openFiles.length > 0 ? [readable] : [])];
  const fixes = [
    ...(open.length > 0
      ? [`create the network with ${optionPrefix}seedfile instead of ${optionPrefix}seed`]
      : []),
    ...(openFiles.length > 0 ? [`\`chmod 600 ${openFiles.join(' ')}\``] : []),
  ];
  return causes.length === 0
    ? pass('seeds', '`docker network inspect` shows none, and only root can read their files')
    : warn('seeds', causes.join('; '), fixes.join('; '));
}
