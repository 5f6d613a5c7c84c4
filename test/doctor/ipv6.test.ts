import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attachment } from '../../src/doctor/engine-survey.ts';
import { judgeIpv6 } from '../../src/doctor/ipv6.ts';
import { prefixOf } from '../../src/wireguard/address.ts';

const attachment: Attachment = {
  network: 'wgnet',
  endpointId: 'e1',
  gateway: '',
  gatewayIpv6: '',
  gwPriority: 0,
  isOurs: true,
  isInternal: false,
  hasKillswitch: true,
};
const web = { ...attachment, network: 'web', isOurs: false, gateway: '172.18.0.1', gatewayIpv6: 'fd00::1' };
const split = (...prefixes: string[]) => ({ ...attachment, allowedips: prefixes.map(prefixOf) });

for (const [title, attachments, cause] of [
  ['a list of IPv4 beside a bridge with IPv6', [split('10.0.0.0/8'), web], /another network: app by web$/],
  ['one that names IPv6 as well', [split('10.0.0.0/8', 'fd12::/16'), web], undefined],
  ['nearly all of IPv4, which closes IPv6', [split('0.0.0.0/1', '128.0.0.0/2'), web], undefined],
  ['everything', [attachment, web], undefined],
  ['a bridge without IPv6', [split('10.0.0.0/8'), { ...web, gatewayIpv6: '' }], undefined],
  ['an internal bridge', [split('10.0.0.0/8'), { ...web, isInternal: true }], undefined],
] as const) {
  test(`ipv6: ${title}`, () => {
    const container = { name: 'app', attachments, sandboxKey: '', pid: 0, dns: [], sharers: [] };
    const finding = judgeIpv6({
      containers: [{ ...container, isPrivileged: false, capAdd: [], capDrop: [] }],
    });
    assert.equal(finding.status, cause === undefined ? 'pass' : 'warn');
    assert.match(finding.cause, cause ?? /^no container/);
  });
}
