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
import { judgeHubLinks, probeForwardRules } from './hub-link.ts';
import { judgeInnerTunnels, probeInnerTunnels } from './inner-tunnels.ts';
import { judgeIp } from './ip.ts';
import { judgeIpRange } from './ip-range.ts';
import { judgeIpv6 } from './ipv6.ts';
import { judgeKernelVersion } from './kernel.ts';
import { judgeKillswitch, probeKillswitch } from './killswitch.ts';
import { judgeNamespaces, probeNamespaces } from './namespaces.ts';
import { judgeDisabled, judgePlugin, probePlugin } from './plugin.ts';
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
  yield await judgeDriver(engine, driver, pluginSocket);
  yield judgeClock(await probeClock());
  const survey = await surveyEngine(engine, driver);
  yield judgeEngine(engineSocket, survey);
  for (const [name, judge] of Object.entries(networkChecks)) {
    if (survey instanceof Error) {
      yield skip(name, 'needs the engine');
    } else if (survey.networks.length + survey.configs.length === 0) {
      yield pass(name, `no network is on ${driver} yet`);
    } else {
      yield await judge(survey);
    }
  }
}

/** The driver on its socket, or as a managed plugin where there is no such socket. */
async function judgeDriver(engine: Engine, driver: string, pluginSocket: string): Promise<Finding> {
  const answer = await probePlugin(pluginSocket);
  const isAbsent = answer instanceof Error && (answer as NodeJS.ErrnoException).code === 'ENOENT';
  const managed = isAbsent ? await findManagedPlugin(engine, driver) : undefined;
  if (managed === undefined) {
    return judgePlugin(pluginSocket, answer);
  }
  const socket = socketOfManaged(managed);
  return managed.isEnabled ? judgePlugin(socket, await probePlugin(socket)) : judgeDisabled(managed);
}

const networkChecks: Readonly<Record<string, (survey: Survey) => Finding | Promise<Finding>>> = {
  seeds: async (survey) => judgeSeeds(survey, await probeSecretFiles(survey)),
  stopped: judgeStranded,
  sharers: async (survey) => judgeSharers(await probeSharers(survey)),
  'ip-range': judgeIpRange,
  'default-route': judgeDefaultRoute,
  ipv6: judgeIpv6,
  dns: judgeDns,
  capabilities: judgeCapabilities,
  'inner-tunnels': async (survey) => judgeInnerTunnels(await probeInnerTunnels(survey, selectNamespaces())),
  hublink: async (survey) => judgeHubLinks(survey, await probeForwardRules()),
  async handshakes(survey) {
    const [read, now] = [linkReader(), new Date()];
    const handshakes = await probeHandshakes(survey, read);
    for (const { address, fwmark } of silentEndpoints(handshakes, now)) {
      const vpn = await findHostVpn(address, fwmark, read).catch((error: Error) => error);
      if (vpn !== undefined) {
        return judgeHandshakes(handshakes, now, vpn);
      }
    }
    return judgeHandshakes(handshakes, now);
  },
};
