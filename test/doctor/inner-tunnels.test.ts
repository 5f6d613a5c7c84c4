import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SurveyedContainer } from '../../src/doctor/engine-survey.ts';
import { judgeInnerTunnels, probeInnerTunnels } from '../../src/doctor/inner-tunnels.ts';

const attachment = {
  network: 'wg',
  endpointId: 'e1',
  isOurs: true,
  isInternal: false,
  hasKillswitch: true,
  gateway: '192.168.5.1',
  gatewayIpv6: '',
  gwPriority: 0,
};
const privileges = { isPrivileged: false, capAdd: ['NET_ADMIN'], capDrop: [] };

function container(name: string, hasKillswitch = true): SurveyedContainer {
  const attachments = [{ ...attachment, hasKillswitch }];
  return { name, pid: 0, attachments, sandboxKey: `/run/${name}`, dns: [], sharers: [], ...privileges };
}

const links = {
  '/run/plain': [{ index: 1, name: 'wg0', alias: 'wgdriver:d:e1', isUp: true, kind: 'tun' }],
  '/run/openvpn': [{ index: 2, name: 'tun0', alias: undefined, isUp: true, kind: 'tun' }],
  '/run/quick': [{ index: 3, name: 'vpn0', alias: undefined, isUp: true, kind: 'wireguard', isInner: true }],
} as const;

const probe = (...containers: readonly SurveyedContainer[]) =>
  probeInnerTunnels(
    { containers },
    {
      read: async (netns) => {
        const present = links[netns as keyof typeof links];
        if (present === undefined) {
          throw new Error('EPERM');
        }
        return { links: present, addresses: [], defaultRoutes: [], routes: [], rules: [] };
      },
    },
  );

test('inner-tunnels: what the kernel’s WireGuard has made in the container carries, and our own is none', async () => {
  assert.equal(judgeInnerTunnels(await probe(container('plain'), container('quick'))).status, 'pass');
});

test('inner-tunnels: another one is refused', async () => {
  const found = await probe(container('plain'), container('openvpn'), container('gone'));
  const { status, cause } = judgeInnerTunnels(found);
  assert.equal(status, 'warn');
  assert.match(cause, /blocks a tunnel that runs inside the container: openvpn \(tun0\)$/);
});

test('inner-tunnels: without a kill switch nothing is refused; without rights nothing is said', async () => {
  assert.deepEqual(await probe(container('openvpn', false), { ...container('openvpn'), sandboxKey: '' }), []);
  const { status, cause } = judgeInnerTunnels(await probe(container('gone')));
  assert.deepEqual([status, cause], ['skip', 'could not look into gone: EPERM']);
});
