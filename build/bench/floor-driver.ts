/**
 * A driver that does the kernel's part alone, for `docker run` beside it: it makes the link, hands it over and deletes it. It keeps no
 * state, protects nothing and logs nothing. `node build/bench/floor-driver.ts SOCKET`; its networks are called floor.
 */
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { netlinkLinks } from '../../src/links/netlink/links.ts';
import { parseAddress, parsePrefix } from '../../src/wireguard/address.ts';
import { PrivateKey } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { peer } from './served.ts';

interface Call {
  readonly EndpointID: string;
  readonly IPv4Data?: readonly { readonly Gateway: string }[];
}

const links = netlinkLinks(markOf('floor'));
const address = parseAddress('192.0.2.1') ?? fail();
const everything = parsePrefix('0.0.0.0/0') ?? fail();
const device = {
  privateKey: new PrivateKey(new Uint8Array(32).fill(64)),
  peers: [{ publicKey: peer, endpoint: { address, port: 51820 }, allowedIps: [everything] }],
};
let gateway = '';

const calls: Record<string, (call: Call) => object | Promise<object>> = {
  '/Plugin.Activate': () => ({ Implements: ['NetworkDriver'] }),
  '/NetworkDriver.GetCapabilities': () => ({ Scope: 'local', ConnectivityScope: 'global' }),
  '/NetworkDriver.CreateNetwork': ({ IPv4Data }) => {
    gateway = IPv4Data?.[0]?.Gateway.split('/')[0] ?? '';
    return {};
  },
  '/NetworkDriver.CreateEndpoint': () => ({ Interface: {} }),
  '/NetworkDriver.EndpointOperInfo': () => ({ Value: {} }),
  async '/NetworkDriver.Join'({ EndpointID: endpointId }) {
    const name = linkName(endpointId);
    await links.create({ name, mtu: 1420, endpointId });
    await links.configure(name, device);
    const InterfaceName = { SrcName: name, DstPrefix: 'wg' };
    return { InterfaceName, Gateway: gateway, DisableGatewayService: true };
  },
  async '/NetworkDriver.DeleteEndpoint'({ EndpointID }) {
    await links.deleteRecorded(linkName(EndpointID));
    return {};
  },
};

createServer(async (request, response) => {
  const body = await text(request);
  const answer = await calls[request.url ?? '']?.(JSON.parse(body || '{}') as Call);
  response.end(JSON.stringify(answer ?? {}));
}).listen(process.argv[2], () => console.log('ready'));

function fail(): never {
  throw new Error('not so');
}
