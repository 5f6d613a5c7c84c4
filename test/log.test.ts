import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { createLog, type Log, type LogSettings, logLevels } from '../src/log.ts';

const id = 'ab'.repeat(32);

test('a line of text has time, level, message and fields; ids are shortened, spaces quoted', () => {
  const [line = ''] = written({ level: 'info', format: 'text' }, (log) =>
    log.info('made', { network: id, cause: 'two "words"', ms: 1.5, absent: undefined, empty: '' }),
  );
  assert.match(
    line,
    /^\d{4}-\d\d-\d\dT[\d:.]+Z info {2}made network=abababababab cause="two \\"words\\"" ms=1.5 empty=\n$/,
  );
});

test('a line of JSON has ids whole', () => {
  const [line = ''] = written({ level: 'info', format: 'json' }, (log) =>
    log.warn('made', { network: id, ms: 1.5 }),
  );
  const { time, ...rest } = JSON.parse(line);
  assert.equal(new Date(time).toISOString(), time);
  assert.deepEqual(rest, { level: 'warn', message: 'made', network: id, ms: 1.5 });
  assert(line.endsWith('\n') && line.indexOf('\n') === line.length - 1);
});

test('a level lets through itself and what is worse', () => {
  for (const [index, level] of logLevels.entries()) {
    const lines = written({ level, format: 'text' }, (log) => {
      for (const each of ['debug', 'info', 'warn', 'error'] as const) {
        log[each](each);
      }
    });
    assert.equal(lines.length, index);
  }
});

test('a message said many times has as many lines', () => {
  const lines = written({ level: 'info', format: 'text' }, (log) => {
    for (let count = 0; count < 20; count++) {
      log.info('same');
    }
  });
  assert.equal(lines.length, 20);
});

for (const format of ['text', 'json'] as const) {
  test(`a message or value of several lines is one line of ${format}`, () => {
    const lines = written({ level: 'info', format }, (log) =>
      log.info('one\ntwo\u001b[2J', { cause: 'three\nfour' }),
    );
    assert.equal(lines.length, 1);
    const [line = ''] = lines;
    assert.equal(line.indexOf('\n'), line.length - 1);
    assert(!line.includes('\u001b'));
  });
}

/** What goes to stderr meanwhile. */
function written(settings: LogSettings, work: (log: Log) => void): string[] {
  const write = mock.method(process.stderr, 'write', () => true);
  try {
    work(createLog(settings));
    return write.mock.calls.map(({ arguments: [text] }) => String(text));
  } finally {
    write.mock.restore();
  }
}
