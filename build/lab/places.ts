import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { hold } from './lock.ts';

/** As many places as this machine has processors: more emulated machines at once only slow one another. */
const PLACES = availableParallelism();

// Whoever is at the head of the queue takes every place that falls free until it has enough: one that wants
// several is not passed by those that want one, and as nobody holds some and waits for more, none waits for ever.
const TAKE_PLACES = `
  exec 9>"$1/queue"
  flock 9
  declare -A held
  while :; do
    for ((place = 0; place < $3; place++)); do
      [ -z "\${held[$place]}" ] || continue
      exec {lock}>"$1/$place"
      if flock --nonblock $lock; then held[$place]=$lock; else exec {lock}>&-; fi
      [ \${#held[@]} -lt $2 ] || break 2
    done
    sleep 0.2
  done
  exec 9>&-
  echo
  exec cat`;

/**
 * Waits until `count` of this machine's places are free, over all processes, and takes them (all of them, if
 * it has no more). @returns how to give them back; the end of this process does it too
 */
export async function takePlaces(count: number): Promise<() => Promise<void>> {
  const folder = join(cacheFolder(), 'places');
  await mkdir(folder, { recursive: true });
  const wanted = Math.min(count, PLACES);
  return hold(['bash', '-c', TAKE_PLACES, 'take-places', folder, String(wanted), String(PLACES)]);
}
