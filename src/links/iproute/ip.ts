import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { decodeIpJson, kernelWords } from '../../programs/ip.ts';
import { type Failure, type Outcome, run } from '../../programs/run.ts';
import { type Mark, readEndpointId } from '../../wireguard/link-alias.ts';
import { LinkError, type OwnedLink, type Place } from '../links.ts';

/** What `ip -details -json link show` says of a link, as far as it is used. */
const shownLinks = v.array(
  v.object({
    ifname: v.optional(v.string()),
    ifalias: v.optional(v.string()),
    mtu: v.optional(v.number()),
    linkinfo: v.optional(
      v.object({
        info_kind: v.optional(v.string()),
        info_data: v.optional(v.object({ persist: v.optional(v.boolean()) })),
      }),
    ),
  }),
);
type ShownLink = v.InferOutput<typeof shownLinks>[number];

/** What `create` makes: of the kernel, or a TUN device that ends with its program. */
export type Kind = 'wireguard' | 'tun';

/** A link, and the file of the namespace it is in; without one, this process's. */
export interface LocatedLink {
  readonly name: string;
  readonly mtu: number | undefined;
  readonly netns?: string;
}

/** Runs commands of ip-link(8), one a line, all in one process; the first that fails ends it. */
export function ipBatch(commands: readonly string[]): Promise<Outcome> {
  return run('ip', ['-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}

/** The line of a batch that failed, counted from 1. */
export function failedLine({ stderr }: Failure): number {
  return Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 1);
}

/** A command for a program of the host in a network namespace: a container may have no `ip` and no `wg`. */
export function inNetns(netns: string | undefined, command: readonly [string, ...string[]]) {
  return netns === undefined ? command : (['nsenter', `--net=${netns}`, ...command] as const);
}

/** Deletes a link that this process has just made and could not mark. */
export async function deleteUnmarked(name: string): Promise<void> {
  await run('ip', ['link', 'delete', 'dev', name]);
}

/** Deletes a link that carries the mark; one that is not there is no error. @returns whether it was there */
export async function deleteMarked(name: string, mark: Mark): Promise<boolean> {
  const link = await showLink(name);
  if (link === undefined) {
    return false;
  }
  if (mark.read(link.ifalias) === undefined) {
    throw new LinkError('delete', name, 'it is not this driver’s: its alias says otherwise');
  }
  await deleteShown(name);
  return true;
}

/**
 * Deletes a link of a kind that carries the mark or no alias at all, and leaves any other alone.
 * @returns whether it did
 */
export async function deleteUnfinished(name: string, mark: Mark, kind: Kind): Promise<boolean> {
  const link = (await showLink(name)) ?? {};
  if (mark.read(link.ifalias) === undefined && (link.ifalias || !isOfKind(link, kind))) {
    return false;
  }
  await deleteShown(name);
  return true;
}

/** Deletes a link of a kind whatever its alias is; one that is not there is no error. @returns whether it was there */
export async function deleteRecorded(name: string, mark: Mark, kind: Kind): Promise<boolean> {
  const link = await showLink(name);
  if (link === undefined) {
    return false;
  }
  if (!isOfKind(link, kind) && mark.read(link.ifalias) === undefined) {
    const shown = link.linkinfo?.info_kind ?? 'none';
    throw new LinkError('delete', name, `it is not this driver’s: its kind is ${shown}`);
  }
  await deleteShown(name);
  return true;
}

function isOfKind({ linkinfo }: ShownLink, kind: Kind): boolean {
  // No userspace implementation makes a device that outlives its process.
  return linkinfo?.info_kind === kind && linkinfo.info_data?.persist !== true;
}

async function deleteShown(name: string): Promise<void> {
  const outcome = await run('ip', ['link', 'delete', 'dev', name]);
  // Gone in between: with its namespace, or by another call.
  if (!outcome.ok && errnoOf(outcome.stderr) !== 'ENODEV') {
    throw failure('delete', name, outcome);
  }
}

/** Is there a link of that name in this namespace? Without running a program, which costs milliseconds. */
export async function linkExists(name: string): Promise<boolean> {
  // proc(5): a line for each link, `NAME:` and figures. Of the thread that reads, since /proc/self would be the main
  // one's, which may be in another namespace at that moment (netlink/namespace.ts).
  const lines = (await readFile('/proc/thread-self/net/dev', 'utf8')).split('\n');
  return lines.some((line) => line.trimStart().startsWith(`${name}:`));
}

/** A link of this namespace, or undefined if there is none of that name. */
export async function showLink(name: string): Promise<ShownLink | undefined> {
  if (!(await linkExists(name))) {
    return undefined;
  }
  const outcome = await run('ip', ['-details', '-json', 'link', 'show', 'dev', name]);
  if (outcome.ok) {
    return parseLinks(outcome.stdout)[0];
  }
  if (errnoOf(outcome.stderr) === 'ENODEV') {
    return undefined;
  }
  throw failure('show', name, outcome);
}

/** Looks for an endpoint's link of a kind in its container, and then on the host. @throws LinkError */
export async function locate(
  { name, endpointId, sandbox }: Place,
  kind: Kind,
): Promise<LocatedLink | undefined> {
  const isWanted = (link: ShownLink) =>
    isOfKind(link, kind) &&
    link.ifname !== undefined &&
    (endpointId === undefined || readEndpointId(link.ifalias) === endpointId);
  const inContainer = async () => {
    const link = sandbox && endpointId !== undefined ? (await linksIn(sandbox)).find(isWanted) : undefined;
    return link && { name: link.ifname ?? '', mtu: link.mtu, netns: sandbox ?? '' };
  };
  const onHost = async () => {
    const link = await showLink(name);
    return link && isWanted(link) ? { name, mtu: link.mtu } : undefined;
  };
  // Once more, as it may have moved there in between.
  return (await inContainer()) ?? (await onHost()) ?? (await inContainer());
}

/** The links of a namespace; none if it is gone. */
async function linksIn(netns: string): Promise<ShownLink[]> {
  const [program, ...args] = inNetns(netns, ['ip', '-details', '-json', 'link', 'show']);
  const outcome = await run(program, args);
  if (outcome.ok) {
    return parseLinks(outcome.stdout);
  }
  // The last one where the engine has unmounted the namespace and not yet removed the file.
  if (/^nsenter: .*(?:No such file or directory|Invalid argument)$/m.test(outcome.stderr)) {
    return [];
  }
  throw failure('list', 'all', outcome);
}

/** Gives a link an MTU where it is. @throws LinkError */
export async function setMtu({ name, netns }: LocatedLink, mtu: number): Promise<void> {
  const [program, ...args] = inNetns(netns, ['ip', 'link', 'set', 'dev', name, 'mtu', String(mtu)]);
  const outcome = await run(program, args);
  if (!outcome.ok) {
    throw failure('change', name, outcome);
  }
}

/** The links of this namespace that carry the mark. */
export async function listMarked(mark: Mark): Promise<OwnedLink[]> {
  const outcome = await run('ip', ['-json', 'link', 'show']);
  if (!outcome.ok) {
    throw failure('list', 'all', outcome);
  }
  return parseLinks(outcome.stdout).flatMap(({ ifname, ifalias }) => {
    const endpointId = mark.read(ifalias);
    return ifname === undefined || endpointId === undefined ? [] : [{ name: ifname, endpointId }];
  });
}

function parseLinks(json: string): ShownLink[] {
  return decodeIpJson(shownLinks, json, 'ip -json link show');
}

/** The error behind a failed run of `ip`. */
export function failure(operation: string, link: string, { stderr, ending }: Failure): LinkError {
  const words = kernelWords(stderr);
  return new LinkError(operation, link, words === '' ? ending : `${words} (${ending})`, errnoOf(stderr));
}

/** The errno behind the text, for those that are told apart. */
function errnoOf(text: string): string | undefined {
  if (/File exists/.test(text)) {
    return 'EEXIST';
  }
  return /does not exist|Cannot find device|No such device/.test(text) ? 'ENODEV' : undefined;
}
