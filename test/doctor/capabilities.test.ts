import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeCapabilities } from '../../src/doctor/capabilities.ts';
import type { SurveyedContainer } from '../../src/doctor/engine-survey.ts';

const wg = {
  network: 'wg',
  endpointId: 'e1',
  isOurs: true,
  isInternal: false,
  hasKillswitch: true,
  gateway: '192.168.5.1',
  gatewayIpv6: '',
  gwPriority: 0,
};
const off = { ...wg, hasKillswitch: false };
const bridge = { ...off, network: 'app', isOurs: false };

function container(more: Partial<SurveyedContainer>): SurveyedContainer {
  return {
    name: 'c',
    attachments: [wg, bridge],
    sandboxKey: '',
    pid: 0,
    dns: [],
    isPrivileged: false,
    capAdd: [],
    capDrop: ['NET_RAW'],
    sharers: [],
    ...more,
  };
}

const admin = 'NET_ADMIN, and may read its private key and undo its kill switch';
const raw = 'NET_RAW and another network, and may send past its kill switch with AF_XDP';

for (const [title, more, cause] of [
  ['without NET_RAW', {}, undefined],
  ['without any', { capDrop: ['all'] }, undefined],
  ['with what Docker gives', { capDrop: [] }, `${raw}: c`],
  ['with what Docker gives, on our network alone', { capDrop: [], attachments: [wg] }, undefined],
  ['with what Docker gives, without a kill switch', { capDrop: [], attachments: [off, bridge] }, undefined],
  ['with NET_ADMIN', { capAdd: ['CAP_NET_ADMIN'] }, `${admin}: c`],
  ['privileged', { isPrivileged: true }, `${admin}: c; ${raw}: c`],
  [
    'with one in its namespace that is privileged',
    { sharers: [{ name: 'sidecar', pid: 0, isPrivileged: true, capAdd: [], capDrop: [] }] },
    `${admin}: sidecar; ${raw}: sidecar`,
  ],
  [
    'privileged, without a kill switch to undo',
    { isPrivileged: true, attachments: [off, bridge] },
    'NET_ADMIN, and may read its private key: c',
  ],
] as const) {
  test(`capabilities: ${title}`, () => {
    const finding = judgeCapabilities({ containers: [container(more)] });
    assert.equal(finding.status, cause === undefined ? 'pass' : 'warn');
    assert.equal(
      finding.cause,
      cause ?? 'no running container may read its private key or get past its kill switch',
    );
    assert.equal(finding.fix?.includes('rotate its key') ?? false, cause?.includes('private key') ?? false);
  });
}
