import assert from 'node:assert/strict';
import { test } from 'node:test';
import { netlinkObstacle } from '../../../src/links/netlink/probe.ts';
import { selectLinks } from '../../../src/links/select.ts';
import { recordedLog } from '../../support/recorded-log.ts';

test('netlink when it is asked for, or an error that says what it needs', async () => {
  const log = recordedLog();
  const obstacle = netlinkObstacle();
  if (obstacle === undefined) {
    await selectLinks('netlink', 'own', log);
    assert.deepEqual(
      log.lines.map(({ level, message, fields }) => [level, message, fields.reason]),
      [['info', 'backend netlink', 'asked for']],
    );
  } else {
    await assert.rejects(selectLinks('netlink', 'own', log), { message: obstacle });
    assert.deepEqual(log.lines, []);
  }
});
