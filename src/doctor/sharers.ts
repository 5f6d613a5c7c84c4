import { stat } from 'node:fs/promises';
import type { Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'sharers';

/** A container that was started in the network namespace of another, and is not in the one that this has now. */
export interface LeftBehind {
  readonly container: string;
  readonly of: string;
}

/** @param namespaceOf what tells the network namespace of a process from others; rejects if it cannot be seen */
export async function probeSharers(
  { containers }: Pick<Survey, 'containers'>,
  namespaceOf = async (pid: number): Promise<unknown> => (await stat(`/proc/${pid}/ns/net`)).ino,
): Promise<LeftBehind[]> {
  const left: LeftBehind[] = [];
  for (const { name: of, pid, sharers } of containers) {
    for (const sharer of sharers) {
      const [own, others] = await Promise.all([pid, sharer.pid].map(namespaceOf)).catch(() => []);
      if (own !== others) {
        left.push({ container: sharer.name, of });
      }
    }
  }
  return left;
}

/** When a container is started anew it has a new namespace, and whoever shared the old one is left there with `lo`. */
export function judgeSharers(left: readonly LeftBehind[]): Finding {
  return left.length === 0
    ? pass(name, 'every container that shares another container’s network still has it')
    : warn(
        name,
        `left without a network, because the container whose network they share has restarted: ${listed(
          left.map(({ container, of }) => `${container} (of ${of})`),
        )}`,
        `\`docker restart ${left.map(({ container }) => container).join(' ')}\``,
      );
}
