import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { joinRoutes } from '../../src/driver/wire.ts';
import type { Network } from '../../src/networks/network.ts';
import { routesOf } from '../../src/networks/routing.ts';
import { allowedIpsOf, peersOf, type Tunnel } from '../../src/networks/tunnel.ts';
import {
  type Address,
  covers,
  formatPrefix,
  hostPrefix,
  masked,
  parsePrefix,
  plus,
  prefixOf,
  rangeOf,
} from '../../src/wireguard/address.ts';
import { anyPrefix } from '../support/addresses.ts';
import { articleOptions, network } from '../support/networks.ts';

const one = [['192.168.5.0/24', '192.168.5.1/24']] as const;
/** RFC 1122, 3.2.1.3: never a destination. */
const thisNetwork = prefixOf('0.0.0.0/8');
const two = [...one, ['10.7.0.0/16', '10.7.0.1/16']] as const;

interface Vector {
  readonly name: string;
  readonly subnets: readonly (readonly [string, string])[];
  readonly internal?: boolean;
  readonly allowedips?: string;
  readonly allowed: readonly string[];
  readonly gateway?: string;
  readonly routes: readonly string[];
}

const vectors: Vector[] = [
  { name: 'by default', subnets: one, allowed: ['0.0.0.0/0', '::/0'], gateway: '192.168.5.1', routes: [] },
  {
    name: 'everything, as asked for',
    subnets: one,
    allowedips: '0.0.0.0/0',
    allowed: ['0.0.0.0/0'],
    gateway: '192.168.5.1',
    routes: [],
  },
  {
    name: 'everything in two halves',
    subnets: one,
    allowedips: '0.0.0.0/1,128.0.0.0/1',
    allowed: ['0.0.0.0/1', '128.0.0.0/1'],
    gateway: '192.168.5.1',
    routes: [],
  },
  {
    name: 'the lower half, whose beginning engines drop, in parts',
    subnets: one,
    allowedips: '0.0.0.0/1',
    allowed: ['0.0.0.0/1', '192.168.5.0/24'],
    routes: ['64.0.0.0/2', '32.0.0.0/3', '16.0.0.0/4', '8.0.0.0/5', '4.0.0.0/6', '2.0.0.0/7', '1.0.0.0/8'],
  },
  {
    name: 'a smaller part of it, and of what nobody sends to',
    subnets: one,
    allowedips: '0.0.0.0/7, 0.0.0.0/9',
    allowed: ['0.0.0.0/7', '0.0.0.0/9', '192.168.5.0/24'],
    routes: ['1.0.0.0/8'],
  },
  {
    name: 'the upper half',
    subnets: one,
    allowedips: '128.0.0.0/1',
    allowed: ['128.0.0.0/1'],
    routes: ['128.0.0.0/1'],
  },
  {
    name: 'split, with host bits',
    subnets: one,
    allowedips: '10.1.0.5/16, 172.16.0.0/12',
    allowed: ['10.1.0.0/16', '172.16.0.0/12', '192.168.5.0/24'],
    routes: ['10.1.0.0/16', '172.16.0.0/12'],
  },
  {
    name: 'split, its own subnet among it',
    subnets: one,
    allowedips: '192.168.5.0/24,10.0.0.0/8',
    allowed: ['192.168.5.0/24', '10.0.0.0/8'],
    routes: ['10.0.0.0/8'],
  },
  {
    name: 'a part of its own subnet',
    subnets: one,
    allowedips: '192.168.5.128/25',
    allowed: ['192.168.5.128/25', '192.168.5.0/24'],
    routes: [],
  },
  {
    name: 'a larger one around its own',
    subnets: one,
    allowedips: '192.168.0.0/16',
    allowed: ['192.168.0.0/16'],
    routes: ['192.168.0.0/16'],
  },
  {
    name: 'one prefix twice, and a half beside one of its parts',
    subnets: one,
    allowedips: '10.0.0.0/8,10.1.0.0/8,64.0.0.0/2,0.0.0.0/1',
    allowed: ['10.0.0.0/8', '10.0.0.0/8', '64.0.0.0/2', '0.0.0.0/1', '192.168.5.0/24'],
    routes: [
      ...['10.0.0.0/8', '64.0.0.0/2'],
      ...['32.0.0.0/3', '16.0.0.0/4', '8.0.0.0/5', '4.0.0.0/6', '2.0.0.0/7', '1.0.0.0/8'],
    ],
  },
  {
    name: 'IPv6 alone',
    subnets: one,
    allowedips: '::/0',
    allowed: ['::/0', '192.168.5.0/24'],
    routes: [],
  },
  { name: 'internal', subnets: one, internal: true, allowed: ['192.168.5.0/24'], routes: [] },
  {
    name: 'internal with two subnets',
    subnets: two,
    internal: true,
    allowed: ['192.168.5.0/24', '10.7.0.0/16'],
    routes: ['10.7.0.0/16'],
  },
  {
    name: 'two subnets by default',
    subnets: two,
    allowed: ['0.0.0.0/0', '::/0'],
    gateway: '192.168.5.1',
    routes: [],
  },
  {
    name: 'two subnets, split',
    subnets: two,
    allowedips: '172.16.0.0/12',
    allowed: ['172.16.0.0/12', '192.168.5.0/24', '10.7.0.0/16'],
    routes: ['172.16.0.0/12', '10.7.0.0/16'],
  },
];

/** Routes that the engine is given: with the kill switch it has those to everything alone. */
const off = { killswitch: 'off' } as const;

for (const { name, allowed, gateway, routes, ...setting } of vectors) {
  test(name, () => {
    const made = networkWith(setting);
    assert.deepEqual(allowedIpsOf(tunnelIn(made)).map(formatPrefix), allowed);
    assert.deepEqual(joinRoutes(routesOf(tunnelIn(made), off)), {
      ...(gateway === undefined ? {} : { Gateway: gateway }),
      StaticRoutes: routes.map((Destination) => ({ Destination, RouteType: 1, NextHop: '' })),
    });
  });
}

test('with the kill switch the engine has no routes but the default, and not even that with an exception', () => {
  const options = (allowedips?: string, exclude?: string) =>
    network({
      options: { ...articleOptions, ...(allowedips && { allowedips }), ...(exclude && { exclude }) },
    });
  const routes = (made: Network) => joinRoutes(routesOf(tunnelIn(made), made.options));
  assert.deepEqual(routes(options()), { Gateway: '192.168.5.1', StaticRoutes: [] });
  assert.deepEqual(routes(options('172.16.0.0/12')), { StaticRoutes: [] });
  assert.deepEqual(routes(options(undefined, '10.0.0.0/8')), { StaticRoutes: [] });
});

test('each subnet has its own gateway', () => {
  const made = networkWith({ subnets: two });
  assert.deepEqual(
    made.subnets.map((_, index) => joinRoutes(routesOf(tunnelIn(made, index), off)).Gateway),
    ['192.168.5.1', '10.7.0.1'],
  );
});

test('whatever is allowed: own subnets too, a route for all of it, none twice, masked, none from 0.0.0.0 on', () => {
  fc.assert(
    fc.property(fc.array(anyPrefix, { minLength: 1, maxLength: 6 }), (asked) => {
      const made = networkWith({ subnets: two, allowedips: asked.map(formatPrefix).join(',') });
      const [subnet] = made.subnets;
      assert(subnet);
      const allowed = allowedIpsOf(tunnelIn(made));
      for (const prefix of [...asked, ...made.subnets.map(({ pool }) => pool)]) {
        assert(
          allowed.some((other) => covers(other, prefix)),
          formatPrefix(prefix),
        );
      }
      const { Gateway, StaticRoutes } = joinRoutes(routesOf(tunnelIn(made), off));
      const texts = StaticRoutes.map(({ Destination }) => Destination);
      assert.equal(new Set(texts).size, texts.length);
      const routes = texts.map((text) => {
        const parsed = parsePrefix(text);
        assert(parsed);
        assert.equal(text, formatPrefix(masked(parsed)));
        assert(!text.startsWith('0.0.0.0/'));
        return parsed;
      });
      const reached = (address: Address) =>
        Gateway !== undefined || [...routes, subnet.pool].some((route) => covers(route, hostPrefix(address)));
      for (const prefix of allowed.filter(({ address }) => address.kind() === 'ipv4')) {
        const { first, last } = rangeOf(prefix);
        // Both ends: one prefix may have several routes.
        for (const end of [first, last]) {
          assert(reached(end) || covers(thisNetwork, hostPrefix(end)), formatPrefix(prefix));
        }
      }
    }),
  );
});

/** What routing knows of the tunnel of the first container in a subnet. */
function tunnelIn(made: Network, index = 0): Pick<Tunnel, 'addresses' | 'gateways' | 'peers'> {
  const subnet = made.subnets[index];
  assert(subnet);
  const { pool, gateway } = subnet;
  return {
    addresses: [{ address: plus(gateway.address, 1n), length: pool.length }],
    gateways: [gateway.address],
    peers: peersOf(made, {}),
  };
}

function networkWith({
  subnets,
  internal = false,
  allowedips,
}: Omit<Vector, 'name' | 'allowed' | 'routes'>): Network {
  return network({
    subnets,
    internal,
    options: { ...articleOptions, ...(allowedips === undefined ? {} : { allowedips }) },
  });
}
