import { statfs } from 'node:fs/promises';
import * as v from 'valibot';
import { decodeIpJson, kernelWords } from '../programs/ip.ts';
import {
  type BegunKeeper,
  beginKeeper,
  endKeeper,
  isKept,
  type Keeper,
  namespaceOf,
} from '../programs/keeper.ts';
import { isInOwnContainer } from '../programs/own-container.ts';
import { type Failure, run } from '../programs/run.ts';
import {
  type Family,
  formatPrefix,
  hostPrefix,
  masked,
  parseAddress,
  prefixOf,
  sameAddress,
} from '../wireguard/address.ts';
import type { Mark } from '../wireguard/link-alias.ts';
import {
  type Gateway,
  gatewayLines,
  gatewayTable,
  type Inside,
  type Port,
  portGatewayLines,
  portLines,
  reattachScript,
  routedPrefixes,
  settingsScript,
} from './setup.ts';

/**
 * The namespaces of tunnels that several containers share. A process holds each, and not a mount: the driver’s unit has
 * mounts of its own, which end with it, and the host’s are closed to it; but a process that it leaves behind stays
 * (KillMode=process), as those of userspace tunnels do.
 */
export interface Gateways {
  /** @throws Error if this driver or this host cannot have any, with what to do */
  probe(): Promise<void>;
  /** Begins a new namespace, which ends with this process until it is told to stay. */
  begin(networkId: string): Promise<BegunKeeper>;
  /** Does a namespace last? */
  isKept(keeper: Keeper): Promise<boolean>;
  /** Moves the tunnel’s link from the host into the namespace, and sets all up there. */
  open(keeper: Keeper, gateway: Gateway): Promise<void>;
  /** Sets all up anew, as after a change of the configuration file. */
  renew(keeper: Keeper, gateway: Gateway): Promise<void>;
  /** Makes a container’s link on the host, marked and down. @throws GatewayError, with code EEXIST if the name is taken */
  attach(keeper: Keeper, port: Port, endpointId: string): Promise<void>;
  /** The names of links in the namespace. */
  ports(keeper: Keeper): Promise<ReadonlySet<string>>;
  /**
   * Gives a running container its link anew.
   * @returns whether there is such a container yet
   * @throws GatewayError; then it has none
   */
  reattach(keeper: Keeper, port: Port, endpointId: string, sandbox: string, inside: Inside): Promise<boolean>;
  /** Deletes a container’s link wherever it is, by its other end. One that is not there is no error. */
  detach(keeper: Keeper, name: string): Promise<void>;
  /** Ends the namespace, and the tunnel’s link and all containers’ with it. */
  end(keeper: Keeper, link: string): Promise<void>;
}

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: string | undefined;

  constructor(operation: string, cause: string, code?: string) {
    super(`${operation}: ${cause}`);
    this.code = code;
  }
}

const shownLinks = v.array(v.object({ ifname: v.string() }));

const shownRoutes = v.array(v.object({ dst: v.string() }));

const shownAddresses = v.array(
  v.object({
    addr_info: v.optional(
      v.array(v.object({ local: v.string(), prefixlen: v.number(), scope: v.optional(v.string()) })),
      [],
    ),
  }),
);

/** By the programs `setsid`, `unshare`, `nsenter`, `ip` and `nft`: a gateway is made once for a network, a veth takes two. */
export function programGateways(mark: Mark, isInContainer = () => isInOwnContainer(process)): Gateways {
  let probed: Promise<void> | undefined;

  return {
    probe() {
      probed ??= probe(isInContainer).catch((error) => {
        probed = undefined;
        throw error;
      });
      return probed;
    },

    begin: (networkId) => beginKeeper(`shared tunnel of network ${networkId}`),
    isKept,

    async open(keeper, gateway) {
      // Before its links come, which take the settings that they find.
      await inNamespace('set up the gateway', keeper, ['sh'], settingsScript());
      await ip('move the tunnel’s link', [`link set dev ${gateway.link} netns ${keeper.pid}`]);
      await setUp(keeper, gateway);
    },

    async renew(keeper, gateway) {
      await setUp(keeper, gateway);
      const shown = await inNamespace('read addresses of the tunnel’s link', keeper, [
        ...(['ip', '-json', 'address', 'show', 'dev', gateway.link] as const),
      ]);
      const old = decodeIpJson(shownAddresses, shown, 'ip -json address')
        .flatMap(({ addr_info }) => addr_info)
        .flatMap(({ local, prefixlen, scope }) => {
          const address = scope === 'link' ? undefined : parseAddress(local);
          return address === undefined ? [] : [{ address, length: prefixlen }];
        })
        .filter(({ address }) => !gateway.addresses.some((wanted) => sameAddress(wanted.address, address)));
      if (old.length > 0) {
        await ip(
          'delete old addresses of the tunnel’s link',
          old.map((prefix) => `address del ${formatPrefix(prefix)} dev ${gateway.link}`),
          keeper,
        );
      }
      await deleteOldRoutes(keeper, gateway);
    },

    async attach(keeper, port, endpointId) {
      await ip(`create link ${port.name}`, portLines(port, keeper.pid, mark.write(endpointId)));
      await ip(`set up the other end of link ${port.name}`, portGatewayLines(port), keeper);
    },

    async ports(keeper) {
      const shown = await inNamespace('look for links', keeper, ['ip', '-json', 'link', 'show']);
      const links = decodeIpJson(shownLinks, shown, 'ip -json link');
      return new Set(links.map(({ ifname }) => ifname));
    },

    async reattach(keeper, port, endpointId, sandbox, inside) {
      if (!(await isNamespace(sandbox))) {
        return false;
      }
      const script = reattachScript(port, keeper.pid, mark.write(endpointId), inside);
      await program(`attach link ${port.name} again`, undefined, ['sh', '-c', script, 'sh', sandbox]);
      return true;
    },

    async detach(keeper, name) {
      if (await isKept(keeper)) {
        await ip(`delete link ${name}`, [`link delete dev ${name}`], keeper).catch(unlessGone);
      }
    },

    async end(keeper, link) {
      if (await isKept(keeper)) {
        await ip(`delete link ${link}`, [`link delete dev ${link}`], keeper).catch(unlessGone);
        await endKeeper(keeper);
      }
    },
  };
}

/** linux/magic.h: NSFS_MAGIC. A container that has ended leaves an empty file for a moment. */
const nsfsMagic = 0x6e736673;

async function isNamespace(path: string): Promise<boolean> {
  return statfs(path).then(
    ({ type }) => type === nsfsMagic,
    () => false,
  );
}

async function setUp(keeper: Keeper, gateway: Gateway): Promise<void> {
  // Before anything can be sent.
  await inNamespace('set up the gateway', keeper, ['nft', '-f', '-'], gatewayTable(gateway));
  await ip('set up the gateway', gatewayLines(gateway), keeper);
}

async function deleteOldRoutes(keeper: Keeper, gateway: Gateway): Promise<void> {
  const { link } = gateway;
  const wanted = new Set(routedPrefixes(gateway).map((prefix) => formatPrefix(masked(prefix))));
  for (const family of ['ipv4', 'ipv6'] as const) {
    const shown = await inNamespace('read routes of the tunnel’s link', keeper, [
      ...(['ip', family === 'ipv4' ? '-4' : '-6', '-json', 'route', 'show'] as const),
      // The kernel has made others.
      ...['dev', link, 'proto', 'boot'],
    ]);
    const old = decodeIpJson(shownRoutes, shown, 'ip -json route')
      .map(({ dst }) => prefixOfRoute(dst, family))
      .filter((text) => !wanted.has(text));
    if (old.length > 0) {
      await ip(
        'delete old routes of the tunnel’s link',
        old.map((text) => `route del ${text} dev ${link}`),
        keeper,
      );
    }
  }
}

/** As `formatPrefix` has it. */
function prefixOfRoute(dst: string, family: Family): string {
  const address = parseAddress(dst);
  if (address !== undefined) {
    return formatPrefix(hostPrefix(address));
  }
  return dst === 'default' ? (family === 'ipv4' ? '0.0.0.0/0' : '::/0') : dst;
}

const addressIn = (text: string) => prefixOf(`${text}/32`).address;

/** Does all of it once, in a namespace that ends at once. */
async function probe(isInContainer: () => Promise<boolean>): Promise<void> {
  if (await isInContainer()) {
    throw new Error(
      'containers cannot share a tunnel here: this driver runs in a container or as a managed plugin, where every ' +
        'process that it starts ends with it. Install the driver as a service (`wgdriver service install`), or ' +
        'use --ipam-driver null for one container',
    );
  }
  const gateway = {
    link: 'lo',
    addresses: [prefixOf('192.0.2.1/32')],
    prefixes: [],
    pools: [],
    gateways: ['192.0.2.2'].map(addressIn),
    dns: ['192.0.2.3', '192.0.2.4'].map(addressIn),
    hasIcc: true,
  };
  const script =
    `${settingsScript()}\nip -batch - <<'END'\n${gatewayLines(gateway).join('\n')}\nEND\nnft -f - ` +
    `<<'END'\n${gatewayTable(gateway)}\nEND\n`;
  const outcome = await run('unshare', ['--net', 'sh'], { stdin: script });
  if (!outcome.ok) {
    throw new Error(
      `containers cannot share a tunnel on this host: ${wordsOf(outcome)}. Sharing needs util-linux, iproute2, ` +
        'nftables and a kernel with nftables’ NAT and fib expressions',
    );
  }
}

/** Runs `ip -batch`, on the host or in a namespace. @throws GatewayError */
function ip(operation: string, lines: readonly string[], keeper?: Keeper): Promise<string> {
  return program(operation, keeper, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
}

function inNamespace(
  operation: string,
  keeper: Keeper,
  command: readonly [string, ...string[]],
  stdin?: string,
): Promise<string> {
  return program(operation, keeper, command, stdin);
}

async function program(
  operation: string,
  keeper: Keeper | undefined,
  [file, ...args]: readonly [string, ...string[]],
  stdin?: string,
): Promise<string> {
  const options = stdin === undefined ? {} : { stdin };
  const outcome =
    keeper === undefined
      ? await run(file, args, options)
      : await run('nsenter', [`--net=${namespaceOf(keeper)}`, file, ...args], options);
  if (!outcome.ok) {
    throw new GatewayError(operation, wordsOf(outcome), codeOf(outcome));
  }
  return outcome.stdout;
}

function wordsOf({ stderr, cause, ending }: Failure): string {
  const words = kernelWords(stderr);
  return words === '' ? cause : `${words} (${ending})`;
}

function codeOf({ stderr }: Failure): string | undefined {
  if (/File exists/.test(stderr)) {
    return 'EEXIST';
  }
  return /Cannot find device|No such device|does not exist|No such file or directory/.test(stderr)
    ? 'ENODEV'
    : undefined;
}

function unlessGone(error: unknown): void {
  if (!(error instanceof GatewayError && error.code === 'ENODEV')) {
    throw error;
  }
}
