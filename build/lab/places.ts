import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { hold } from './lock.ts';

/** As many places as this machine has processors: more guests at once only slow one another, and what runs beside them. */
export const PLACES = availableParallelism();

// Whoever is at the head of the queue takes every place that falls free until it has enough: one that wants
// several is not passed by those that want one, and as nobody holds some and waits for more, none waits for ever.
// Those that take long queue before the others: one of them that was the last would work alone. While they wait they
// hold the lock `long` between them, and the others come to the queue when nobody does.
const TAKE_PLACES = `
  exec 8>"$1/long" 9>"$1/queue"
  if [ "$4" = true ]; then
    flock --shared 8
    flock 9
  else
    until flock 8 && flock --nonblock 9; do
      flock --unlock 8
      sleep 1
    done
    flock --unlock 8
  fi
  declare -A held
  while :; do
    for ((place = 0; place < $3; place++)); do
      [ -z "\${held[$place]}" ] || continue
      exec {lock}>"$1/$place"
      if flock --nonblock $lock; then held[$place]=$lock; else exec {lock}>&-; fi
      [ \${#held[@]} -lt $2 ] || break 2
    done
    sleep 1
  done
  exec 8>&- 9>&-
  echo "\${!held[@]}"
  exec cat`;

export interface Places {
  /** Which they are, from 0 on. */
  readonly numbers: readonly number[];
  /** Gives them back; the end of this process does it too. */
  release(): Promise<void>;
}

/**
 * Waits until `count` of this machine's places are free, over all processes, and takes them (all of them, if
 * it has no more). Whoever takes long, `isLong`, is let in first.
 */
export async function takePlaces(count: number, isLong = false): Promise<Places> {
  const folder = join(cacheFolder(), 'places');
  await mkdir(folder, { recursive: true });
  const wanted = Math.min(count, PLACES);
  const words = [folder, wanted, PLACES, isLong].map(String);
  const { line, release } = await hold(['bash', '-c', TAKE_PLACES, 'take-places', ...words]);
  return { numbers: line.split(' ').map(Number), release };
}
