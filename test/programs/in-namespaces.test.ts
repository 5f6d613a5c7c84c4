import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { createRunInNamespace } from '../../src/programs/in-namespaces.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('ip', 'nsenter');

test('a program is run in each namespace, and each has its own end', { skip }, async () => {
  const names = Array.from({ length: 40 }, (_, number) => `n${number}`);
  for (const name of names) {
    execFileSync('ip', ['netns', 'add', name]);
  }
  execFileSync('ip', ['-n', 'n7', 'link', 'add', 'here', 'type', 'bridge']);
  const show = createRunInNamespace('ip -oneline link show dev "$2"');
  const asked = names.concat('none').map((name) => show(`/run/netns/${name}`, name === 'n7' ? 'here' : 'lo'));
  const outcomes = await Promise.all(asked);
  for (const [index, outcome] of outcomes.slice(0, -1).entries()) {
    assert(outcome.ok, `${names[index]}: ${outcome.ok || outcome.cause}`);
    assert.match(outcome.stdout, index === 7 ? /: here: / : /: lo: /);
  }
  const gone = outcomes.at(-1);
  assert(gone?.ok === false);
  assert.match(gone.stderr, /^nsenter: .*No such file or directory$/);

  const absent = await show('/run/netns/n1', 'here');
  assert(!absent.ok);
  assert.equal(
    absent.cause,
    'Device "here" does not exist. (nsenter --net=/run/netns/n1 ip -oneline link show dev here: exit status 1)',
  );
});

test('one that prints without end spoils nobody else’s answer', { skip }, async () => {
  execFileSync('ip', ['netns', 'add', 'box']);
  const print = createRunInNamespace(`sh -c 'yes | head -c "$1"' sh "$2"`);
  const sizes = ['1', '70000000', '2'];
  const outcomes = await Promise.all(sizes.map((size) => print('/run/netns/box', size)));
  assert.deepEqual(
    outcomes.map(({ ok }) => ok),
    [true, false, true],
  );
});
