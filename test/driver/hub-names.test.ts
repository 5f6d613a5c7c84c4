import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { type Address, parseAddress } from '../../src/wireguard/address.ts';
import { recordedLog } from '../support/recorded-log.ts';

const address = (text: string) => parseAddress(text) ?? assert.fail(text);
const textOf = (found: Address | undefined) => found?.toString();

/** A resolver whose answers are given by hand: a name without one hangs. */
function heldNames() {
  const asked: string[] = [];
  const answers = new Map<string, (addresses: readonly string[] | Error) => void>();
  let clock = 0;
  const names = createHubNames({
    resolve: (host) =>
      new Promise((resolve, reject) => {
        asked.push(host);
        answers.set(host, (found) =>
          found instanceof Error ? reject(found) : resolve(found.map((text) => address(text))),
        );
      }),
    log: recordedLog(),
    now: () => clock,
  });
  return {
    names,
    asked,
    pass: (ms: number) => {
      clock += ms;
    },
    async answer(host: string, found: readonly string[] | Error) {
      await setImmediate();
      answers.get(host)?.(found);
      await setImmediate();
    },
  };
}

test('an address is its own answer', async () => {
  const { names, asked } = heldNames();
  assert.equal(textOf(await names.addressOf('192.0.2.1')), '192.0.2.1');
  assert.equal(textOf(await names.addressOf('2001:db8::1')), '2001:db8::1');
  assert.deepEqual(asked, []);
});

test('one look-up of a name at a time, whoever asks; then another', async () => {
  const { names, asked, answer } = heldNames();
  const all = Promise.all([names.addressOf('hub'), names.lookUp('hub'), names.addressOf('other')]);
  await answer('hub', ['192.0.2.1', '2001:db8::1']);
  await answer('other', ['192.0.2.9']);
  const [first, every, other] = await all;
  assert.deepEqual([first, every?.[1], other].map(textOf), ['192.0.2.1', '2001:db8::1', '192.0.2.9']);
  assert.deepEqual(asked, ['hub', 'other']);
  void names.lookUp('hub');
  await setImmediate();
  assert.deepEqual(asked, ['hub', 'other', 'hub']);
});

test('a look-up that hangs keeps a container waiting for 2 s, and its last answer is the fallback', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { names, answer, asked } = heldNames();
    const waited = async () => {
      const found = names.addressOf('hub');
      await setImmediate();
      mock.timers.tick(2000);
      return textOf(await found);
    };
    assert.equal(await waited(), undefined);
    assert.deepEqual(names.unresolved(), ['hub']);
    await answer('hub', ['192.0.2.1', '192.0.2.2']);
    assert.deepEqual(names.unresolved(), []);
    assert.equal(await waited(), '192.0.2.1');
    names.worked('hub', address('192.0.2.2'));
    // The second look-up still hangs: there is no third.
    assert.equal(await waited(), '192.0.2.2');
    assert.deepEqual(asked, ['hub', 'hub']);
  } finally {
    mock.timers.reset();
  }
});

test('a look-up that has hung for a while is waited for as much shorter, and not at all after 2 s', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { names, pass } = heldNames();
    void names.lookUp('hub');
    pass(1500);
    const found = names.addressOf('hub');
    await setImmediate();
    mock.timers.tick(500);
    assert.equal(await found, undefined);
    pass(500);
    assert.equal(await names.addressOf('hub'), undefined);
  } finally {
    mock.timers.reset();
  }
});

test('of several addresses the one that worked comes first, as long as the name has it', async () => {
  const { names, answer } = heldNames();
  const found = async (addresses: string[]) => {
    const result = names.addressOf('hub');
    await answer('hub', addresses);
    return textOf(await result);
  };
  assert.equal(await found(['2001:db8::1', '192.0.2.1']), '2001:db8::1');
  names.worked('hub', address('192.0.2.1'));
  assert.equal(await found(['2001:db8::1', '192.0.2.1']), '192.0.2.1');
  assert.equal(await found(['2001:db8::2']), '2001:db8::2');
});

test('a name without an answer, and one that does not exist', async () => {
  const { names, answer } = heldNames();
  for (const result of [[], new Error('ENOTFOUND')]) {
    const found = names.addressOf('hub');
    await answer('hub', result);
    assert.equal(await found, undefined);
    assert.deepEqual(names.unresolved(), ['hub']);
    assert(names.isFailing('hub'));
  }
});

test('a name that stops resolving is known to, and its last answer stays', async () => {
  const { names, answer } = heldNames();
  for (const [found, isFailing] of [
    [['192.0.2.1'], false],
    [new Error('EAI_AGAIN'), true],
    [['192.0.2.1'], false],
  ] as const) {
    const looked = names.lookUp('hub');
    await answer('hub', found);
    await looked;
    assert.equal(names.isFailing('hub'), isFailing);
    assert.equal(textOf(names.preferred('hub')), '192.0.2.1');
  }
});

test('names that hang do not starve one that does not, however many they are', async () => {
  const { names, answer, asked, pass } = heldNames();
  const dead = Array.from({ length: 30 }, (_, index) => `dead${index}`);
  for (const name of dead) {
    void names.lookUp(name);
    pass(20_000);
    await answer(name, new Error('EAI_AGAIN'));
  }
  for (const name of dead) {
    void names.lookUp(name);
  }
  await setImmediate();
  assert.equal(asked.length, dead.length + 4);
  const found = names.addressOf('healthy');
  await answer('healthy', ['192.0.2.1']);
  assert.equal(textOf(await found), '192.0.2.1');
});
