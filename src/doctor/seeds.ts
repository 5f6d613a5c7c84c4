import { optionPrefix } from '../networks/options.ts';
import { type Finding, listed, pass, warn } from './finding.ts';
import type { Survey } from './survey.ts';

export function judgeSeeds({ networks, configs }: Pick<Survey, 'networks' | 'configs'>): Finding {
  const open = [...networks, ...configs].filter(({ optionNames }) =>
    optionNames.includes(`${optionPrefix}seed`),
  );
  return open.length === 0
    ? pass('seeds', 'none shows in `docker network inspect`')
    : warn(
        'seeds',
        `\`docker network inspect\` shows the seed of ${listed(open.map((network) => network.name))}`,
        `create the network with ${optionPrefix}seedfile instead of ${optionPrefix}seed`,
      );
}
