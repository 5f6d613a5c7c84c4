/** The documentation against the program: every option has its place, and every link leads somewhere. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { decodeEndpointOptions, decodeNetworkOptions } from '../src/networks/options.ts';
import { wgdriver } from './support/wgdriver.ts';

const read = (path: string) => readFileSync(path, 'utf8');

test('docs/commands.md has a section for each command, with exactly its options', async () => {
  const sections = new Map(
    read('docs/commands.md')
      .split(/^### (?=`wgdriver )/m)
      .slice(1)
      .map((section) => {
        const [own = ''] = section.split(/^## /m);
        const command = /^`wgdriver (?<words>[^`]+)`/.exec(own)?.groups?.words ?? '';
        return [command, namesIn(own, /^\| `--(?<name>[a-z0-9-]+)/gm)] as const;
      }),
  );
  assert.deepEqual(sections, new Map(await optionsBelow([])));
});

/** The options of a command and of all below it, as their help has them. */
async function optionsBelow(
  words: readonly string[],
): Promise<(readonly [command: string, options: readonly string[]])[]> {
  const { stdout: help } = await wgdriver([...words, '--help']);
  const below = namesIn(help, /^ {2}(?<name>[a-z][a-z-]*) {2}/gm);
  const nested = await Promise.all(below.map((name) => optionsBelow([...words, name])));
  const options = namesIn(help, /^ {2}--(?!help|version)(?<name>[a-z0-9-]+)/gm);
  const isCommand = words.length > 0 && (below.length === 0 || options.length > 0);
  return [...(isCommand ? [[words.join(' '), options] as const] : []), ...nested.flat()];
}

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(({ groups }) => groups?.name ?? '').sort();
}

test('docs/options.md has every option of networks and endpoints once', () => {
  const [ofNetworks = '', ofEndpoints = ''] = read('docs/options.md').split('## Options of one container');
  for (const [text, decode] of [
    [ofNetworks, decodeNetworkOptions],
    [ofEndpoints, decodeEndpointOptions],
  ] as const) {
    let message = '';
    try {
      decode({ 'io.bestov.wg.nosuch': '' });
    } catch (error) {
      message = (error as Error).message;
    }
    const names = /; expected one of (.*)$/.exec(message)?.[1]?.split(', ');
    assert.deepEqual(namesIn(text, /^\| `io\.bestov\.wg\.(?<name>[a-z0-9]+)` /gm), names?.sort());
  }
});

test('ARCHITECTURE.md and its picture have every room of src/', () => {
  const rooms = readdirSync('src', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  assert.deepEqual(namesIn(read('ARCHITECTURE.md'), /^\| `(?<name>[a-z]+)\/` \|/gm), rooms);
  const picture = read('docs/architecture.svg');
  assert.deepEqual(namesIn(picture, /<text class="name"[^>]*>(?<name>[a-z]+)\/<\/text>/g), rooms);
});

test('docs/messages.md has every warning and error of the logs, and no other', () => {
  const sources = globSync('src/**/*.ts').map(read).join('\n');
  const texts = [...sources.matchAll(/\blog\.(?:warn|error)\(\s*(?<text>'[^']+'(?:\s*\+\s*'[^']+')*),/g)].map(
    ({ groups }) => [...(groups?.text ?? '').matchAll(/'([^']+)'/g)].map(([, part]) => part).join(''),
  );
  const rows = read('docs/messages.md')
    .split('\n')
    .map((line) => /^\| (?<messages>`[A-Za-z].*?) \| /.exec(line)?.groups?.messages ?? '');
  const documented = rows
    .flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text))
    .filter((text) => text.includes(' '));
  assert.deepEqual([...documented].sort(), [...new Set(texts)].sort());
});

test('every link in the documentation leads to a file, and to a heading in it', () => {
  const pages = globSync(['*.md', 'docs/*.md', 'compose-examples/{README.md,*/README.md}']);
  const dead = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?<target>[^)\s]+)\)/g)]
      .map(({ groups }) => groups?.target ?? '')
      .filter((target) => !/^https?:/.test(target) && !leadsSomewhere(page, target))
      .map((target) => `${page}: ${target}`),
  );
  assert.deepEqual(dead, []);
});

function leadsSomewhere(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : normalize(join(dirname(page), path));
  return existsSync(file) && (anchor === undefined || anchorsOf(read(file)).includes(anchor));
}

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (?<heading>.*)$/gm)].map(({ groups }) =>
    (groups?.heading ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}
