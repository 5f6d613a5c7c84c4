import { release } from 'node:os';
import { createEngine } from '../engine/client.ts';
import { netlinkObstacle } from '../links/netlink/probe.ts';
import { probeProgram } from '../links/probe.ts';
import { judgeDefaultRoute } from './default-route.ts';
import { judgeDns } from './dns.ts';
import { judgeEngine } from './engine.ts';
import { type Finding, pass, skip } from './finding.ts';
import { judgeIp } from './ip.ts';
import { judgeIpRange } from './ip-range.ts';
import { judgeKernelVersion } from './kernel.ts';
import { judgeNamespaces, probeNamespaces } from './namespaces.ts';
import { judgePlugin, probePlugin } from './plugin.ts';
import { judgeRights, mayMakeLinks, readRights } from './rights.ts';
import { judgeSeeds } from './seeds.ts';
import { type Survey, surveyEngine } from './survey.ts';
import { judgeKernelWireGuard, judgeModule, judgeUserspace, judgeWg, probeWireGuard } from './wireguard.ts';

export interface Patient {
  /** The driver's name, as in `docker network create -d NAME`. */
  readonly driver: string;
  /** The sockets' paths. */
  readonly pluginSocket: string;
  readonly engineSocket: string;
}

/** Runs every check on this host and gives its findings as they come. Leaves nothing behind. */
export async function* examine({ driver, pluginSocket, engineSocket }: Patient): AsyncGenerator<Finding> {
  const rights = await readRights();
  yield judgeRights(rights);
  const ip = await probeProgram('ip');
  yield judgeIp(ip.ok, netlinkObstacle() === undefined);
  const hasRights = mayMakeLinks(rights);
  yield judgeNamespaces(ip.ok && hasRights ? await probeNamespaces() : undefined);

  yield judgeKernelVersion(release());
  const wireguard = await probeWireGuard(hasRights, ip.ok, process.env);
  for (const judge of [judgeKernelWireGuard, judgeModule, judgeUserspace, judgeWg]) {
    yield judge(wireguard);
  }

  yield judgePlugin(pluginSocket, await probePlugin(pluginSocket));
  const survey = await surveyEngine(createEngine(engineSocket), driver);
  yield judgeEngine(engineSocket, survey);
  yield* judgeNetworks(driver, survey);
}

const networkChecks: Readonly<Record<string, (survey: Survey) => Finding>> = {
  seeds: judgeSeeds,
  'ip-range': judgeIpRange,
  'default-route': judgeDefaultRoute,
  dns: judgeDns,
};

function judgeNetworks(driver: string, survey: Survey | Error): Finding[] {
  return Object.entries(networkChecks).map(([name, judge]) => {
    if (survey instanceof Error) {
      return skip(name, 'needs the engine');
    }
    return survey.networks.length === 0 ? pass(name, `no network is on ${driver} yet`) : judge(survey);
  });
}
