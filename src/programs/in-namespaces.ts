import { availableParallelism } from 'node:os';
import { createBatches } from '../concurrency.ts';
import { failed, type Outcome, run } from './run.ts';

const namespacesAtOnce = 16;
/** Each is in one namespace at a time. */
const shellsAtOnce = availableParallelism();

/** Runs a program in a network namespace, and tells what came of it. Does not reject. */
export type RunInNamespace = (netns: string, argument: string) => Promise<Outcome>;

/**
 * Makes a function that runs one program of the host in network namespaces (a container may have none): one
 * shell for each processor, for all that are asked for at the same time. To start a program from here costs more than
 * to start one from a shell.
 * @param command words of sh(1), with the argument as `"$2"`
 */
export function createRunInNamespace(command: string): RunInNamespace {
  // A NUL is in no JSON, no alias and no words of a program.
  const script = `exec 3>&1
while [ $# -gt 0 ]; do
  words=$(exec nsenter --net="$1" ${command} 2>&1 >&3 3>&-)
  printf '\\0%s\\0%s\\0' $? "$words"
  shift 2
done`;
  const runAll = async (asked: readonly Asked[]): Promise<readonly Outcome[]> => {
    const outcome = await run('sh', ['-c', script, 'sh', ...asked.flat()]);
    if (!outcome.ok) {
      // One that hangs, or prints without end, keeps no other from its answer.
      return asked.length === 1
        ? [outcome]
        : await Promise.all(asked.map(async (one) => (await runAll([one]))[0] ?? outcome));
    }
    const parts = outcome.stdout.split('\0');
    return asked.map(([netns, argument], index) => {
      const [stdout = '', status = '', words = ''] = parts.slice(3 * index);
      return status === '0'
        ? { ok: true, stdout }
        : failed(
            `nsenter --net=${netns} ${command.replace('"$2"', argument)}`,
            `exit status ${status}`,
            words,
            stdout,
          );
    });
  };
  const batched = createBatches(namespacesAtOnce, async (asked: readonly Asked[]) => {
    const size = Math.ceil(asked.length / shellsAtOnce);
    const shares = Array.from({ length: Math.ceil(asked.length / size) }, (_, share) =>
      asked.slice(share * size, (share + 1) * size),
    );
    return (await Promise.all(shares.map(runAll))).flat();
  });
  return (netns, argument) => batched([netns, argument]);
}

type Asked = readonly [netns: string, argument: string];
