import { readFile, writeFile } from 'node:fs/promises';

/** Up to so many peers a link keeps what the kernel has chosen. */
const mostThreads = 1000;

/**
 * Has a link's peers share threads where they are many. A kernel may give each a thread of its own (threaded NAPI; Linux 7.3
 * does). Then tens of thousands use up all that the machine may have (kernel.threads-max), and no program starts any more.
 * @param links where the kernel's settings of links are
 * @returns whether there was something to change
 * @throws Error that says what to run
 */
export async function limitThreads(link: string, peers: number, links = '/sys/class/net'): Promise<boolean> {
  const path = `${links}/${link}/threaded`;
  if (peers <= mostThreads || (await readFile(path, 'utf8').catch(() => '')).trim() !== '1') {
    return false;
  }
  try {
    await writeFile(path, '0\n');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${path}: ${code}; on the host run \`echo 0 >${path}\``);
  }
  return true;
}
