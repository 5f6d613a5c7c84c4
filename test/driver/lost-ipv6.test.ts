// Containers of this kernel, whose links are in the place of tunnels: what a sysctl does to their addresses.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { EndpointState } from '../../src/driver/endpoint-states.ts';
import { createLostIpv6Check, lostIpv6Warning } from '../../src/driver/lost-ipv6.ts';
import { netlinkNamespaces } from '../../src/killswitch/by-netlink.ts';
import { programNamespaces } from '../../src/killswitch/by-programs.ts';
import { createGuard } from '../../src/killswitch/killswitch.ts';
import type { Namespaces } from '../../src/killswitch/namespaces.ts';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { prefixOf } from '../../src/wireguard/address.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { sh } from '../support/hub-namespaces.ts';
import { recordedLog } from '../support/recorded-log.ts';

const { skip } = await enterFreshNamespace('ip', 'nft', 'nsenter');

const mark = markOf('wireguard-plugin');
const both = ['192.168.5.2/24', 'fd12:3456::c0a8:502/120'];
const sandboxOf = (id: string) => `/run/netns/${id}`;

/** A container with the link of an endpoint, as the engine leaves it. */
function makeContainer(id: string, addresses = both): void {
  sh(
    `id=$1; alias=$2; shift 2
     ip netns add $id
     ip -n $id link add wg0 type bridge
     ip -n $id link set dev wg0 alias "$alias"
     for address; do ip -n $id address add $address dev wg0 nodad; done
     ip -n $id link set wg0 up`,
    id,
    mark.write(id),
    ...addresses,
  );
}

/** What runc does to the sysctls of a container, once its network is there. */
const setSysctl = (id: string, name: string, value: number) =>
  sh('ip netns exec $1 sh -c "echo $3 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"', id, name, String(value));

const state = (
  endpointId: string,
  {
    networkId = 'n1',
    addresses = both,
    ...more
  }: Partial<EndpointState> & { networkId?: string; addresses?: string[] } = {},
): EndpointState => ({
  endpoint: { endpointId, networkId, addresses: addresses.map(prefixOf) },
  joined: { endpointId, sandbox: sandboxOf(endpointId), stage: 'marked' },
  isUndeleted: false,
  revision: 1,
  touchedMs: 0,
  sinceMs: 0,
  place: { name: 'wg0', endpointId, sandbox: sandboxOf(endpointId) },
  ...more,
});

/** A check of these endpoints, and whom it has told of. */
function checkOf(namespaces: Namespaces, endpoints: EndpointState[]) {
  const log = recordedLog();
  let nowMs = 5000;
  const told = new Set<string>();
  const guard = createGuard(namespaces, mark, log);
  const check = createLostIpv6Check({
    lifecycle: { endpoints: () => endpoints },
    guard,
    log,
    told,
    now: () => nowMs,
  });
  return {
    told,
    at(ms: number) {
      nowMs = ms;
    },
    async check() {
      const before = log.lines.length;
      await check();
      return log.lines.slice(before).map(({ level, message, fields }) => {
        assert.deepEqual([level, message], ['warn', lostIpv6Warning]);
        return fields.endpoint;
      });
    },
  };
}

before(() => {
  if (skip === undefined) {
    for (const id of ['e1', 'e2', 'e3']) {
      makeContainer(id);
    }
    setSysctl('e1', 'all', 1);
    setSysctl('e2', 'all', 1);
  }
});

for (const [name, make, obstacle] of [
  ['netlink', netlinkNamespaces, netlinkObstacle()],
  ['programs', programNamespaces, undefined],
] as const) {
  describe(name, { skip: skip ?? obstacle ?? false }, () => {
    test('a container whose sysctls took its IPv6 address is told of once for its network', async () => {
      const endpoints = [state('e3'), state('e1'), state('e2'), state('e2', { networkId: 'n2' })];
      const { check } = checkOf(make(), endpoints);
      assert.deepEqual(await check(), ['e1', 'e2']);
      assert.deepEqual(await check(), []);
    });

    test('a container that loses its address while the machine is busy, and one that is a minute old', async () => {
      makeContainer('e6');
      const { check, at } = checkOf(make(), [state('e6')]);
      assert.deepEqual(await check(), []);
      setSysctl('e6', 'all', 1);
      at(20_000);
      assert.deepEqual(await check(), ['e6']);
      const old = checkOf(make(), [state('e3')]);
      old.at(60_000);
      assert.deepEqual(await old.check(), []);
      sh('ip -n e3 address delete $1 dev wg0', both[1] ?? '');
      assert.deepEqual(await old.check(), []);
      sh('ip -n e3 address add $1 dev wg0 nodad; ip netns delete e6', both[1] ?? '');
    });

    test('a new network of the same name is told of anew', async () => {
      const endpoints = [state('e1')];
      const { check, told } = checkOf(make(), endpoints);
      assert.deepEqual(await check(), ['e1']);
      told.clear();
      endpoints.splice(0, 1, state('e1', { revision: 2 }));
      assert.deepEqual(await check(), ['e1']);
    });

    test('engine 28 gives the address after the sysctl, and there is nothing to tell', async () => {
      sh('ip netns add e4');
      setSysctl('e4', 'all', 1);
      sh('ip -n e4 link add wg0 type bridge; ip -n e4 link set dev wg0 alias "$1"', mark.write('e4'));
      setSysctl('e4', 'wg0', 0);
      sh(`ip -n e4 address add ${both[0]} dev wg0; ip -n e4 address add ${both[1]} dev wg0 nodad`);
      assert.deepEqual(await checkOf(make(), [state('e4')]).check(), []);
      sh('ip netns delete e4');
    });

    test('a link that comes late is looked at when it is there', async () => {
      const { check } = checkOf(make(), [state('e5')]);
      assert.deepEqual(await check(), []);
      sh('ip netns add e5');
      assert.deepEqual(await check(), []);
      sh('ip netns delete e5');
      makeContainer('e5', [both[0] ?? '']);
      assert.deepEqual(await check(), ['e5']);
      sh('ip netns delete e5');
    });

    test('not looked at: what has just joined, is an earlier driver’s, has one family, or is going', async () => {
      const endpoints = [
        state('e1', { touchedMs: 1000 }),
        state('e2', { touchedMs: undefined, networkId: 'n2' }),
        state('e1', { addresses: both.slice(0, 1), networkId: 'n3' }),
        state('e1', { isUndeleted: true, networkId: 'n4' }),
        state('e1', { joined: undefined, networkId: 'n5' }),
      ];
      const { check, at } = checkOf(make(), endpoints);
      assert.deepEqual(await check(), []);
      at(6000);
      assert.deepEqual(await check(), ['e1']);
    });
  });
}
