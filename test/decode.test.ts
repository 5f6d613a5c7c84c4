import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { byName, decode } from '../src/decode.ts';

const schema = v.object({
  text: v.string(),
  own: v.optional(v.pipe(v.string(), v.regex(/^a*$/, 'expected many a'))),
  list: v.optional(v.array(v.object({ number: v.number() }))),
  choice: v.optional(v.picklist(['a', 'b'])),
  strict: v.optional(v.strictObject({ known: v.optional(v.number()) })),
});

for (const [input, message] of [
  [{}, 'thing.text: expected a value, got none'],
  [{ text: undefined }, 'thing.text: expected a value, got none'],
  [{ text: 5 }, 'thing.text: expected string'],
  [null, 'thing: expected Object'],
  [{ text: '', own: 'SECRET' }, 'thing.own: expected many a'],
  [{ text: '', list: [{ number: 1 }, { number: 'SECRET' }] }, 'thing.list.1.number: expected number'],
  [{ text: '', choice: 'SECRET' }, 'thing.choice: expected ("a" | "b")'],
  [{ text: '', strict: { unknown: 'SECRET' } }, 'thing.strict.unknown: expected nothing of that name'],
] as const) {
  test(`${JSON.stringify(input)} is refused`, () => {
    assert.throws(() => decode(schema, input, 'thing'), { message });
  });
}

test('whatever is refused, its value is not in the message', () => {
  const marked = fc.string({ minLength: 6 }).map((text) => `SECRET${text}`);
  fc.assert(
    fc.property(
      fc.record({ text: fc.oneof(marked, fc.constant(5)), own: marked, choice: marked }),
      (input) => {
        assert.throws(
          () => decode(schema, input, 'thing'),
          ({ message }: Error) => message.startsWith('thing.') && !message.includes('SECRET'),
        );
      },
    ),
  );
});

test('what fits comes back decoded', () => {
  const input = { text: 'x', own: 'aaa', list: [{ number: 1, more: 2 }], choice: 'a', more: true };
  assert.deepEqual(decode(schema, input, 'thing'), {
    text: 'x',
    own: 'aaa',
    list: [{ number: 1 }],
    choice: 'a',
  });
});

test('by name: of any name, `prototype`, `constructor` and `__proto__` too', () => {
  const numbers = byName(v.number());
  const input = JSON.parse('{ "a": 1, "prototype": 2, "constructor": 3, "__proto__": 4 }');
  assert.deepEqual(Object.entries(decode(numbers, input, 'thing')), Object.entries(input));
  assert.deepEqual(decode(numbers, {}, 'thing'), {});
  assert.throws(() => decode(numbers, 'SECRET', 'thing'), { message: 'thing: expected Object' });
  assert.throws(() => decode(numbers, { a: 'SECRET' }, 'thing'), { message: /^thing\..*: expected number$/ });
});
