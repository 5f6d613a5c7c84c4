import type { StrandedContainer, Survey } from './engine-survey.ts';
import { type Finding, pass, warn } from './finding.ts';

const name = 'stopped';

/** Looks for containers that did not start for want of our network: the engine does not try again by itself. */
export function judgeStranded({ stranded }: Pick<Survey, 'stranded'>): Finding {
  const [first] = stranded;
  return first === undefined
    ? pass(name, 'every container on these networks that should run has started')
    : warn(
        name,
        `the engine could not start ${namesOf(stranded)}, and does not try again; its error for ${first.name}: ${first.cause}`,
        `\`${startOf(stranded)}\``,
      );
}

/** What the user has to run. */
export function startOf(stranded: readonly StrandedContainer[]): string {
  return `docker start ${stranded.map(({ name: container }) => container).join(' ')}`;
}

function namesOf(stranded: readonly StrandedContainer[]): string {
  return stranded.map(({ name: container }) => container).join(', ');
}
