/** What the names of our options begin with, in `docker network create -o`. */
export const optionPrefix = 'io.bestov.wg.';

/** For `on` and `off` also what YAML and Ansible make of them. */
export function switchWord(word: string): string {
  return word === 'true' ? 'on' : word === 'false' ? 'off' : word;
}
