import { setTimeout } from 'node:timers/promises';
import { styleText } from 'node:util';
import * as v from 'valibot';
import { decode } from '../decode.ts';
import { type Health, healths } from '../driver/status.ts';
import { createEngine } from '../engine/client.ts';
import { noNames, readNames } from '../engine/names.ts';
import { type RequestError, requestsTo } from '../engine/request.ts';
import { strictCommand, UsageError } from './command.ts';
import { engineOption, engineSocketOf } from './host-options.ts';
import { type NamedStatus, named } from './named-status.ts';
import { pluginOptions, runningPluginSocketOf } from './plugin-options.ts';
import { columnsOf, hasColours, obeysControls } from './terminal.ts';

const watchMs = 2000;

export default strictCommand({
  meta: { name: 'status', description: 'Show whether the containers’ tunnels work' },
  args: {
    ...pluginOptions,
    ...engineOption,
    json: { type: 'boolean', description: 'Print JSON, for programs' },
    names: {
      type: 'positional',
      required: false,
      valueHint: 'NAME…',
      description: 'Names or ids of the containers and networks to show (Default: all)',
    },
    watch: { type: 'boolean', description: 'Refresh every two seconds, until Ctrl-C' },
  },
  async run(args, wanted) {
    const engineSocket = engineSocketOf(args);
    const socket = await runningPluginSocketOf(args, createEngine(engineSocket));
    if (args.watch && (args.json || !process.stdout.isTTY)) {
      throw new UsageError('option --watch: needs a terminal, and cannot be combined with --json');
    }
    for (;;) {
      const endpoints = chosen(await readStatus(socket, engineSocket), wanted);
      if (args.json) {
        process.stdout.write(`${JSON.stringify(endpoints, null, 2)}\n`);
      } else {
        const { stdout } = process;
        const lines = tableOf(endpoints, Date.now(), columnsOf(stdout) ?? Number.POSITIVE_INFINITY);
        const shown = args.watch && stdout.rows > 0 ? lines.slice(0, stdout.rows - 1) : lines;
        // Cursor home, and erase what is below.
        const cleared = args.watch && obeysControls(stdout) ? '\x1b[H\x1b[J' : '';
        stdout.write(`${cleared}${shown.join('\n')}\n`);
      }
      if (!args.watch) {
        process.exitCode = endpoints.every(({ health }) => isFine(health)) ? 0 : 1;
        return;
      }
      await setTimeout(watchMs);
    }
  },
});

const answer = v.object({
  ready: v.boolean(),
  missing: v.optional(v.string(), ''),
  endpoints: v.array(
    v.looseObject({
      endpointId: v.string(),
      networkId: v.string(),
      addresses: v.array(v.string()),
      health: v.picklist(healths),
      killswitch: v.picklist(['up', 'coming', 'down', 'off']),
      mtu: v.exactOptional(v.number()),
      hubs: v.array(
        v.looseObject({
          name: v.string(),
          publicKey: v.string(),
          endpoint: v.exactOptional(v.string()),
          lastHandshake: v.exactOptional(v.string()),
          lastHandshakeAgeSeconds: v.exactOptional(v.number()),
          receivedBytes: v.number(),
          sentBytes: v.number(),
        }),
      ),
    }),
  ),
});

/** By programs the links of hundreds of containers take the driver many seconds to read, on a busy host more. */
const timeoutMs = 60_000;

/** An engine that hangs keeps nobody waiting for longer, once the driver has answered. */
const namesPatienceMs = 1000;

/** @throws Error if the driver is away, or cannot work */
async function readStatus(socket: string, engineSocket: string): Promise<NamedStatus[]> {
  // The driver asks only now and then. Where the engine cannot be asked, ids stand in for names.
  const isOver = new AbortController();
  const asked = readNames(createEngine(engineSocket, undefined, isOver.signal)).catch(() => noNames);
  const body = await requestsTo(socket, timeoutMs)('GET', '/Plugin.Health').catch((error: RequestError) => {
    throw new Error(
      error.status === 404
        ? `the driver on ${socket} is older than this command: restart it`
        : `the driver does not answer on ${socket} (${error.message}); \`wgdriver doctor\` says more`,
    );
  });
  const { ready, missing, endpoints } = decode(answer, body, 'Plugin.Health');
  if (!ready) {
    throw new Error(`the driver is not ready: ${missing}`);
  }
  const late = setTimeout(namesPatienceMs, undefined, { signal: isOver.signal }).catch(() => {});
  await Promise.race([asked, late]);
  isOver.abort();
  const names = await asked;
  return endpoints
    .map((endpoint) => named(endpoint, names))
    .sort((a, b) => compare(networkName(a), networkName(b)) || compare(containerName(a), containerName(b)));
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** Those of the networks and containers that were named, by names or the beginnings of ids. @throws Error for one that is not there */
function chosen(endpoints: readonly NamedStatus[], wanted: readonly string[]): readonly NamedStatus[] {
  const isOf =
    (word: string) =>
    ({ container, network, endpointId, networkId }: NamedStatus) =>
      word === container || word === network || endpointId.startsWith(word) || networkId.startsWith(word);
  for (const word of wanted) {
    if (!endpoints.some(isOf(word))) {
      throw new Error(`this driver has no running container or network called ${word}`);
    }
  }
  return wanted.length === 0
    ? endpoints
    : endpoints.filter((each) => wanted.some((word) => isOf(word)(each)));
}

function isFine(health: Health): boolean {
  return health === 'ok' || health === 'new' || health === 'idle';
}

function containerName({ container, endpointId }: NamedStatus): string {
  return container ?? endpointId.slice(0, 12);
}

function networkName({ network, networkId }: NamedStatus): string {
  return network ?? networkId.slice(0, 12);
}

const titles = [
  'CONTAINER',
  'NETWORK',
  'HEALTH',
  'ADDRESS',
  'HANDSHAKE',
  'RECEIVED',
  'SENT',
  'MTU',
  'KILL SWITCH',
  'HUB',
];
const healthColumn = titles.indexOf('HEALTH');

/** A line that is wider than the terminal is cut, and ends in … to say so; the widest column is the last. */
export function tableOf(endpoints: readonly NamedStatus[], unixNow: number, columns: number): string[] {
  if (endpoints.length === 0) {
    return ['No running container is on a network of this driver.'];
  }
  const rows = [titles, ...endpoints.map((endpoint) => cellsOf(endpoint, unixNow))];
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row, index) => {
    const padded = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
    const line = padded.trimEnd();
    const cut = line.length > columns ? `${line.slice(0, columns - 1)}…` : line;
    const health = endpoints[index - 1]?.health;
    const at = widths.slice(0, healthColumn).reduce((sum, width) => sum + width + 2, 0);
    return health === undefined ? cut : coloured(cut, at, health);
  });
}

function cellsOf(endpoint: NamedStatus, unixNow: number): string[] {
  const { health, addresses, mtu, killswitch, hubs } = endpoint;
  // An older driver says only when.
  const ages = hubs.flatMap(({ lastHandshake, lastHandshakeAgeSeconds: seconds }) =>
    lastHandshake === undefined ? [] : (seconds ?? (unixNow - Date.parse(lastHandshake)) / 1000),
  );
  return [
    containerName(endpoint),
    networkName(endpoint),
    health,
    addresses.join(','),
    ages.length === 0 ? 'never' : `${ageOf(Math.min(...ages))} ago`,
    bytesOf(hubs.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)),
    bytesOf(hubs.reduce((sum, { sentBytes }) => sum + sentBytes, 0)),
    mtu === undefined ? '-' : String(mtu),
    killswitch,
    hubs.map(hubText).join(', '),
  ];
}

/** A hub that is a link of this host has no name, and one that has not been resolved no endpoint. */
function hubText({ name, endpoint }: NamedStatus['hubs'][number]): string {
  return name === '' || endpoint === undefined || endpoint === name
    ? name || endpoint || '-'
    : `${name} (${endpoint})`;
}

function ageOf(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [unit, size] =
    whole < 120 ? ['s', 1] : whole < 7200 ? ['min', 60] : whole < 172_800 ? ['h', 3600] : ['d', 86_400];
  return `${Math.floor(whole / Number(size))} ${unit}`;
}

/** As `wg show` has them. */
function bytesOf(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

function coloured(line: string, at: number, health: Health): string {
  if (!hasColours(process.stdout)) {
    return line;
  }
  const end = at + health.length;
  const style = health === 'ok' ? 'green' : isFine(health) ? 'gray' : 'red';
  return (
    line.slice(0, at) + styleText(style, line.slice(at, end), { validateStream: false }) + line.slice(end)
  );
}
