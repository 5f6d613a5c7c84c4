import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf } from '../../src/commands/terminal.ts';

test('the width of a terminal that tells it', () => {
  assert.equal(columnsOf({ isTTY: true, columns: 60 }), 60);
});

test('no width: a pipe, and a pseudo-terminal whose size nobody has set', () => {
  for (const output of [{}, { isTTY: false, columns: 80 }, { isTTY: true, columns: 0 }]) {
    assert.equal(columnsOf(output), undefined);
  }
});
