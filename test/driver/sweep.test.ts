import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openStore, type Store } from '../../src/driver/store.ts';
import { sweepLinks, sweepStranded } from '../../src/driver/sweep.ts';
import { parsePrefix } from '../../src/wireguard/address.ts';
import { recordedLog } from './recorded-log.ts';
import { recordingLinks } from './recording-links.ts';

let folder: string;
let store: Store;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-sweep-'));
  store = await openStore(folder, recordedLog());
  const address = parsePrefix('192.168.5.2/24');
  assert(address);
  await store.putEndpoint({ endpointId: 'kept', networkId: 'n1', address });
});
afterEach(() => rm(folder, { recursive: true }));

test('links of endpoints that are not known are deleted, the others stay', async () => {
  const links = recordingLinks();
  await links.create({ name: 'wgd1', mtu: 1420, endpointId: 'kept' });
  await links.create({ name: 'wgd2', mtu: 1420, endpointId: 'orphan' });
  const log = recordedLog();
  const kept = await sweepLinks(store, links, log);
  assert.deepEqual(
    kept.map(({ name }) => name),
    ['wgd1'],
  );
  assert.deepEqual([...links.present.keys()], ['wgd1']);
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.link]),
    [['info', 'wgd2']],
  );
});

test('one that cannot be deleted is a warning, and the next is tried', async () => {
  const links = recordingLinks();
  await links.create({ name: 'wgd2', mtu: 1420, endpointId: 'orphan' });
  await links.create({ name: 'wgd3', mtu: 1420, endpointId: 'orphan2' });
  links.fail('delete', new Error('busy'));
  const log = recordedLog();
  await sweepLinks(store, links, log);
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.link]),
    [
      ['warn', 'wgd2'],
      ['warn', 'wgd3'],
    ],
  );
});

test('of the links that were on the host at start, those that still are go with their endpoints', async () => {
  const links = recordingLinks();
  const log = recordedLog();
  await links.create({ name: 'wgd1', mtu: 1420, endpointId: 'kept' });
  const seen = await sweepLinks(store, links, log);
  // On its way to a container since.
  await links.create({ name: 'wgd2', mtu: 1420, endpointId: 'kept' });
  const deleted: unknown[] = [];
  const deleteEndpoint = async (request: object) => void deleted.push(request);
  await sweepStranded(
    [...seen, { name: 'wgd9', endpointId: 'moved' }],
    store,
    links,
    { deleteEndpoint },
    log,
  );
  assert.deepEqual(deleted, [{ NetworkID: 'n1', EndpointID: 'kept' }]);
  // Deleted by the engine meanwhile.
  await store.removeEndpoint('kept');
  await sweepStranded(seen, store, links, { deleteEndpoint }, log);
  assert.equal(deleted.length, 1);
});

test('a stranded link that cannot be deleted is a warning', async () => {
  const links = recordingLinks();
  await links.create({ name: 'wgd1', mtu: 1420, endpointId: 'kept' });
  const seen = await sweepLinks(store, links, recordedLog());
  const log = recordedLog();
  const deleteEndpoint = async () => {
    throw new Error('busy');
  };
  await sweepStranded(seen, store, links, { deleteEndpoint }, log);
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.cause]),
    [['warn', 'Error: busy']],
  );
});
