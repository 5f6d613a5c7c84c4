import { release } from 'node:os';
import { createEngine, type Engine } from '../engine/client.ts';
import { findManagedPlugin, socketOfManaged } from '../engine/managed-plugin.ts';
import { selectNamespaces } from '../killswitch/select.ts';
import { netlinkObstacle } from '../links/netlink/probe.ts';
import { isInstalled } from '../links/probe.ts';
import { linkReader } from '../links/select.ts';
import { readRights } from '../rights.ts';
import { judgeCapabilities } from './capabilities.ts';
import { judgeClock, probeClock } from './clock.ts';
import { judgeDefaultRoute } from './default-route.ts';
import { judgeDns } from './dns.ts';
import { judgeEngine } from './engine.ts';
import { type Survey, surveyEngine } from './engine-survey.ts';
import { type Finding, pass, skip } from './finding.ts';
import { judgeHandshakes, probeHandshakes, silentEndpoints } from './handshakes.ts';
import { findHostVpn } from './host-vpn.ts';
import { isLinkUp, judgeHubLinks, probeForwardRules } from './hub-link.ts';
import { judgeInnerTunnels, probeInnerTunnels } from './inner-tunnels.ts';
import { judgeIp } from './ip.ts';
import { judgeIpRange } from './ip-range.ts';
import { judgeIpv6 } from './ipv6.ts';
import { judgeKernelVersion } from './kernel.ts';
import { judgeKillswitch, probeKillswitch } from './killswitch.ts';
import { judgeNamespaces, probeNamespaces } from './namespaces.ts';
import { judgeDisabled, judgePlugin, type PluginAnswer, probePlugin } from './plugin.ts';
import { judgeRights, mayMakeLinks } from './rights.ts';
import { judgeSeeds, probeSecretFiles } from './seeds.ts';
import { judgeSharers, probeSharers } from './sharers.ts';
import { judgeStranded } from './stranded.ts';
import { judgeKernelWireGuard, judgeModule, judgeUserspace, judgeWg, probeWireGuard } from './wireguard.ts';

export interface ExamineOptions {
  /** The driver's name, as in `docker network create -d NAME`. */
  readonly driver: string;
  /** The sockets' paths. */
  readonly pluginSocket: string;
  readonly engineSocket: string;
}

/** Runs every check on this host and gives its findings as they come. Leaves nothing behind. */
export async function* examine({
  driver,
  pluginSocket,
  engineSocket,
}: ExamineOptions): AsyncGenerator<Finding> {
  const rights = await readRights();
  yield judgeRights(rights);
  const hasIp = await isInstalled('ip');
  yield judgeIp(hasIp, netlinkObstacle() === undefined);
  const hasRights = mayMakeLinks(rights);
  yield judgeNamespaces(hasIp && hasRights ? await probeNamespaces() : undefined);

  yield judgeKernelVersion(release());
  const wireguard = await probeWireGuard(hasRights, hasIp, process.env);
  for (const judge of [judgeKernelWireGuard, judgeModule, judgeUserspace, judgeWg]) {
    yield judge(wireguard);
  }
  yield judgeKillswitch(hasRights ? await probeKillswitch() : undefined);

  const engine = createEngine(engineSocket);
  const { finding, handshakes } = await examineDriver(engine, driver, pluginSocket);
  yield finding;
  yield judgeClock(await probeClock());
  const survey = await surveyEngine(engine, driver);
  yield judgeEngine(engineSocket, survey);
  for (const [name, judge] of Object.entries(networkChecks)) {
    if (survey instanceof Error) {
      yield skip(name, 'needs the engine');
    } else if (survey.networks.length + survey.configs.length === 0) {
      yield pass(name, `no network is on ${driver} yet`);
    } else {
      yield await judge(survey, handshakes);
    }
  }
}

type Handshakes = PluginAnswer['handshakes'];

/** The driver on its socket, or as a managed plugin where there is no such socket; and what it says of handshakes. */
async function examineDriver(
  engine: Engine,
  driver: string,
  pluginSocket: string,
): Promise<{ readonly finding: Finding; readonly handshakes: Handshakes }> {
  const answer = await probePlugin(pluginSocket);
  const isAbsent = answer instanceof Error && (answer as NodeJS.ErrnoException).code === 'ENOENT';
  const managed = isAbsent ? await findManagedPlugin(engine, driver) : undefined;
  if (managed === undefined) {
    return { finding: judgePlugin(pluginSocket, answer), handshakes: handshakesIn(answer) };
  }
  if (!managed.isEnabled) {
    return { finding: judgeDisabled(managed), handshakes: new Map() };
  }
  const socket = socketOfManaged(managed);
  const answerOfManaged = await probePlugin(socket);
  return { finding: judgePlugin(socket, answerOfManaged), handshakes: handshakesIn(answerOfManaged) };
}

function handshakesIn(answer: PluginAnswer | Error): Handshakes {
  return answer instanceof Error ? new Map() : answer.handshakes;
}

const networkChecks: Readonly<
  Record<string, (survey: Survey, handshakes: Handshakes) => Finding | Promise<Finding>>
> = {
  seeds: async (survey) => judgeSeeds(survey, await probeSecretFiles(survey)),
  stopped: judgeStranded,
  sharers: async (survey) => judgeSharers(await probeSharers(survey)),
  'ip-range': judgeIpRange,
  'default-route': judgeDefaultRoute,
  ipv6: judgeIpv6,
  dns: judgeDns,
  capabilities: judgeCapabilities,
  'inner-tunnels': async (survey) => judgeInnerTunnels(await probeInnerTunnels(survey, selectNamespaces())),
  hublink: async (survey) => judgeHubLinks(survey, await probeForwardRules(), isLinkUp),
  async handshakes(survey, seen) {
    const read = linkReader();
    const handshakes = await probeHandshakes(survey, read, seen);
    for (const { address, fwmark } of silentEndpoints(handshakes)) {
      const vpn = await findHostVpn(address, fwmark, read).catch((error: Error) => error);
      if (vpn !== undefined) {
        return judgeHandshakes(handshakes, vpn);
      }
    }
    return judgeHandshakes(handshakes);
  },
};
