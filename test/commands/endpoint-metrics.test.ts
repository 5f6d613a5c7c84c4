import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricsOf } from '../../src/commands/endpoint-metrics.ts';
import { noNames } from '../../src/engine/names.ts';

test('metrics of an endpoint: all its addresses, and ids where no names are known', () => {
  const status = {
    endpointId: 'e1',
    networkId: 'n1',
    addresses: ['192.168.5.2', 'fd00::2'],
    health: 'unprotected',
    killswitch: 'down',
    hubs: [],
  } as const;
  const metrics = {
    network: 'n1',
    container: 'e1',
    address: '192.168.5.2,fd00::2',
    link: undefined,
    isLinkShared: false,
    isProtected: false,
  };
  assert.deepEqual(metricsOf({ status, link: undefined, isLinkShared: false }, noNames), metrics);
  const names = { network: () => 'wgnet', container: () => 'app' };
  const off = { ...status, killswitch: 'off' } as const;
  assert.deepEqual(metricsOf({ status: off, link: undefined, isLinkShared: false }, names), {
    ...metrics,
    network: 'wgnet',
    container: 'app',
    isProtected: undefined,
  });
});
