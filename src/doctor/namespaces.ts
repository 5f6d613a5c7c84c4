import * as v from 'valibot';
import { decode } from '../decode.ts';
import { run } from '../programs/run.ts';
import { type Attempt, type Finding, fail, listed, pass, skip, warn } from './finding.ts';

const name = 'network-namespaces';
const probeLink = 'wgprobe';

/** What `ip -json link show` printed in each place. */
export interface NamespaceFacts {
  /** In the namespace of this process. */
  readonly here: Attempt;
  /** In a new one. */
  readonly inside: Attempt;
  /** In a new one after a link was moved into it, from another new one: this process's is left alone. */
  readonly moved: Attempt;
}

const showLinks = ['ip', '-json', 'link', 'show'] as const;

/** The inner shell takes the link out of the outer one's namespace, and both end with them. */
const moveLink = `
  ip link add dev ${probeLink} type veth &&
  unshare --net sh -c '
    nsenter --net=/proc/$1/ns/net ip link set dev ${probeLink} netns $$ && ${showLinks.join(' ')}
  ' sh $$`;

/** The article's demonstration of namespaces: the links before, and those in a new namespace. */
export async function probeNamespaces(): Promise<NamespaceFacts> {
  const [program, ...args] = showLinks;
  const [here, inside, moved] = await Promise.all([
    run(program, args),
    run('unshare', ['--net', ...showLinks]),
    run('unshare', ['--net', 'sh', '-c', moveLink]),
  ]);
  return { here, inside, moved };
}

/** @param facts undefined if the rights for it, or `ip`, are missing */
export function judgeNamespaces(facts: NamespaceFacts | undefined): Finding {
  if (facts === undefined) {
    return skip(name, 'making a namespace needs root and the program ip');
  }
  const { here, inside, moved } = facts;
  if (!inside.ok) {
    return fail(
      name,
      `no new network namespace: ${inside.cause}`,
      'run wgdriver on the host itself, with a kernel that has CONFIG_NET_NS',
    );
  }
  const before = here.ok ? linkNames(here.stdout) : [];
  const after = linkNames(inside.stdout);
  const seen = `this namespace has ${listed(before)}; a new one has ${listed(after)}`;
  if (after.some((link) => link !== 'lo')) {
    return warn(
      name,
      `${seen}, where lo alone was expected`,
      'keep the kernel’s fallback tunnels out of new namespaces: `sysctl -w net.core.fb_tunnels_only_for_init_net=1`',
    );
  }
  return moved.ok && linkNames(moved.stdout).includes(probeLink)
    ? pass(name, `${seen} alone, and a link moves into it`)
    : warn(
        name,
        `${seen} alone, but no link moves into it: ${moved.ok ? 'it was not there' : moved.cause}`,
        'use a kernel with veth links (CONFIG_VETH), which Docker’s bridge networks need too',
      );
}

function linkNames(json: string): string[] {
  const links = decode(v.array(v.object({ ifname: v.string() })), JSON.parse(json), 'ip -json link show');
  return links.map(({ ifname }) => ifname);
}
