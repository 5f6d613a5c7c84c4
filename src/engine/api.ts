/**
 * The answers of the Docker Engine API, as far as they are used, with the names they have on the wire
 * (docs.docker.com/reference/api/engine). Lenient: fields come and go between engines.
 */
import * as v from 'valibot';
import { byName } from '../decode.ts';
import { optionPrefix, switchWord } from '../networks/option-names.ts';

const text = v.nullish(v.string(), '');

/** `GET /version` */
export const SystemVersion = v.object({ Version: v.string() });

/** `GET /info`: what kind of engine it is. */
export const SystemInfo = v.pipe(
  v.object({
    Swarm: v.nullish(v.object({ LocalNodeState: text }), {}),
    SecurityOptions: v.nullish(v.array(v.string()), []),
    OperatingSystem: text,
  }),
  v.transform(({ Swarm, SecurityOptions, OperatingSystem }) => ({
    /** Is this host a node of a Swarm, manager or worker? */
    isSwarmNode: Swarm.LocalNodeState === 'active',
    isRootless: (SecurityOptions ?? []).includes('name=rootless'),
    isDesktop: (OperatingSystem ?? '').startsWith('Docker Desktop'),
  })),
);
export type SystemInfo = v.InferOutput<typeof SystemInfo>;

/** An item of `GET /plugins`: a managed plugin. */
export const Plugin = v.pipe(
  v.object({
    Id: text,
    Name: v.string(),
    Enabled: v.nullish(v.boolean(), false),
    Config: v.object({ Interface: v.nullish(v.object({ Socket: text }), {}) }),
  }),
  v.transform(({ Id, Name, Enabled, Config }) => ({
    id: Id,
    name: Name,
    isEnabled: Enabled,
    /** The name of its socket, in a folder of the plugin's own. */
    socket: Config.Interface.Socket ?? '',
  })),
);
export type Plugin = v.InferOutput<typeof Plugin>;

/** network.IPAMConfig: a subnet of a network, and the part of it that this host assigns. */
const IPAMConfig = v.pipe(
  v.object({ Subnet: text, IPRange: text }),
  v.transform(({ Subnet, IPRange }) => ({ subnet: Subnet, ipRange: IPRange })),
);

const killswitch = `${optionPrefix}killswitch`;
const hublink = `${optionPrefix}hublink`;
const allowedips = `${optionPrefix}allowedips`;
const secretFiles = ['seedfile', 'presharedkeyfile', 'conffile'].map((name) => optionPrefix + name);

/**
 * An item of `GET /networks`. The options' values stay behind here but for a few: one of them may be a seed.
 */
export const Network = v.pipe(
  v.object({
    Id: v.string(),
    Name: v.string(),
    Driver: text,
    Scope: text,
    ConfigOnly: v.nullish(v.boolean(), false),
    ConfigFrom: v.nullish(v.object({ Network: text }), {}),
    Internal: v.nullish(v.boolean(), false),
    Options: v.nullish(byName(v.unknown()), {}),
    IPAM: v.nullish(v.object({ Config: v.nullish(v.array(IPAMConfig), []) }), {}),
  }),
  v.transform(({ Id, Name, Driver, Scope, ConfigOnly, ConfigFrom, Internal, Options, IPAM }) => ({
    id: Id,
    name: Name,
    driver: Driver,
    /** `local`, or `swarm` for a Swarm's. */
    scope: Scope,
    isConfigOnly: ConfigOnly,
    /** The `--config-only` network that it was created from; empty if there is none. */
    configFrom: ConfigFrom.Network ?? '',
    isInternal: Internal,
    optionNames: Object.keys(Options ?? {}),
    hasKillswitch: switchWord(String(Options?.[killswitch])) !== 'off',
    /** The link of the host that is its hub; absent if its hub is elsewhere. */
    hublink: typeof Options?.[hublink] === 'string' ? Options[hublink] : undefined,
    /** What goes into its tunnels, as it was given; absent is everything. */
    allowedips: typeof Options?.[allowedips] === 'string' ? Options[allowedips] : undefined,
    /** The files on this host that hold its secrets, as they were given. */
    secretFiles: secretFiles.flatMap((name) => (typeof Options?.[name] === 'string' ? [Options[name]] : [])),
    /** `ipRange` is empty where none was asked for: all of the subnet is assigned. */
    subnets: IPAM.Config ?? [],
  })),
);
export type Network = v.InferOutput<typeof Network>;

/**
 * `GET /networks/{name}`, for whoever needs the options themselves. The values may hold a seed: they go into a
 * decoder and nowhere else.
 */
export const NetworkInspection = v.pipe(
  v.object({
    Name: v.string(),
    Driver: text,
    ConfigFrom: v.nullish(v.object({ Network: text }), {}),
    Internal: v.nullish(v.boolean(), false),
    Options: v.nullish(byName(v.unknown()), {}),
    IPAM: v.nullish(
      v.object({
        Config: v.nullish(
          v.array(
            v.object({
              Subnet: text,
              Gateway: text,
              AuxiliaryAddresses: v.nullish(byName(v.string()), {}),
            }),
          ),
          [],
        ),
      }),
      {},
    ),
  }),
  v.transform(({ Name, Driver, ConfigFrom, Internal, Options, IPAM }) => ({
    name: Name,
    driver: Driver,
    isInternal: Internal ?? false,
    /** The `--config-only` network that it was created from; empty if there is none. */
    configFrom: ConfigFrom.Network ?? '',
    options: Options,
    /** `gateway` is empty where the engine shows only what it was given. */
    subnets: (IPAM.Config ?? []).map(({ Subnet, Gateway, AuxiliaryAddresses }) => ({
      subnet: Subnet,
      gateway: Gateway,
      /** By their names: `--aux-address laptop=192.168.5.9`. The engine gives them to no container. */
      auxiliaryAddresses: AuxiliaryAddresses ?? {},
    })),
  })),
);
export type NetworkInspection = v.InferOutput<typeof NetworkInspection>;

/** network.EndpointSettings: a container's place on a network. */
const EndpointSettings = v.pipe(
  v.object({
    NetworkID: text,
    EndpointID: text,
    Gateway: text,
    IPv6Gateway: text,
    // Engine 28 (API 1.48) has it first.
    GwPriority: v.nullish(v.number(), 0),
  }),
  v.transform(({ NetworkID, EndpointID, Gateway, IPv6Gateway, GwPriority }) => ({
    networkId: NetworkID,
    endpointId: EndpointID,
    gateway: Gateway,
    gatewayIpv6: IPv6Gateway,
    gwPriority: GwPriority,
  })),
);

const NetworkSettings = v.pipe(
  v.nullish(v.object({ SandboxKey: text, Networks: v.nullish(byName(EndpointSettings), {}) }), {}),
  v.transform(({ SandboxKey = '', Networks = {} }) => ({
    sandboxKey: SandboxKey,
    endpoints: Object.entries(Networks).map(([network, settings]) => ({ network, ...settings })),
  })),
);

/** A running container's place on a network; a gateway is empty where the network's driver gave none. */
export type EndpointSettings = v.InferOutput<typeof NetworkSettings>['endpoints'][number];

/** An item of `GET /containers/json`: a container, running or not. */
export const ListedContainer = v.pipe(
  v.object({
    Id: v.string(),
    Names: v.nullish(v.array(v.string()), []),
    State: v.nullish(v.string(), 'running'),
    HostConfig: v.nullish(v.object({ NetworkMode: text }), {}),
    NetworkSettings: v.nullish(
      v.object({
        Networks: v.nullish(byName(v.object({ NetworkID: text, EndpointID: text })), {}),
      }),
      {},
    ),
  }),
  v.transform(({ Id, Names, State, HostConfig, NetworkSettings }) => ({
    id: Id,
    /** It has ended, or never began. */
    isStopped: ['created', 'exited', 'dead'].includes(State ?? ''),
    names: (Names ?? []).map((name) => name.replace(/^\//, '')),
    /** `container:` and the id of another one: it is in that one's network namespace. */
    networkMode: HostConfig.NetworkMode ?? '',
    networkNames: Object.keys(NetworkSettings.Networks ?? {}),
    networkIds: Object.values(NetworkSettings.Networks ?? {}).map(({ NetworkID }) => NetworkID ?? ''),
    endpointIds: Object.values(NetworkSettings.Networks ?? {}).map(({ EndpointID }) => EndpointID ?? ''),
  })),
);
export type ListedContainer = v.InferOutput<typeof ListedContainer>;

/** `GET /containers/{id}/json` */
export const Container = v.pipe(
  v.object({
    Id: v.string(),
    Name: v.string(),
    State: v.nullish(v.object({ Pid: v.nullish(v.number(), 0), Error: text }), {}),
    HostConfig: v.nullish(
      v.object({
        Dns: v.nullish(v.array(v.string()), []),
        Privileged: v.nullish(v.boolean(), false),
        CapAdd: v.nullish(v.array(v.string()), []),
        CapDrop: v.nullish(v.array(v.string()), []),
      }),
      {},
    ),
    NetworkSettings,
  }),
  v.transform(({ Id, Name, State, HostConfig, NetworkSettings: { sandboxKey, endpoints } }) => ({
    id: Id,
    name: Name.replace(/^\//, ''),
    /** Of its first process; 0 if it does not run. */
    pid: State.Pid ?? 0,
    /** Why it did not start the last time, in the engine's words; empty if it did. */
    startError: State.Error ?? '',
    /** The file of its network namespace; empty if it runs no more. */
    sandboxKey,
    endpoints,
    /** The servers given with `--dns`. */
    dns: HostConfig.Dns ?? [],
    isPrivileged: HostConfig.Privileged ?? false,
    /** As they were given: with or without `CAP_`, in any case, or ALL. */
    capAdd: HostConfig.CapAdd ?? [],
    capDrop: HostConfig.CapDrop ?? [],
  })),
);
export type Container = v.InferOutput<typeof Container>;
