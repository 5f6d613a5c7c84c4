import type { Links } from '../links/links.ts';
import type { UplinksTo } from '../links/uplink.ts';
import type { Log } from '../log.ts';
import { createFollowedLinks } from './followed-links.ts';
import { createHubMoves } from './hub-moves.ts';
import type { HubNames } from './hub-names.ts';
import { createHubWatch, type Seen } from './hub-watch.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface FollowDependencies {
  readonly lifecycle: Pick<Lifecycle, 'tunnels' | 'network' | 'peers' | 'hasAutoMtu' | 'changeLink'>;
  readonly links: Pick<Links, 'read' | 'readDevice'>;
  readonly hubNames: HubNames;
  readonly uplinksTo: UplinksTo;
  readonly log: Log;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** Milliseconds of UNIX time, which handshakes are in. */
  readonly unixNow?: () => number;
  /** A link could not be read or changed. */
  readonly onFailure?: (() => void) | undefined;
}

/**
 * Keeps links in touch with their hubs. WireGuard itself never looks a name up, and keeps trying the endpoint that it was
 * given. None of these rejects.
 */
export interface Follow {
  /** Gives endpoints to the links that have none, as soon as their names resolve; every 5 s. */
  fill(): Promise<void>;
  /** Looks each name up, once for all its links, and follows a hub that has moved; every 30 s. */
  followNames(): Promise<void>;
  /**
   * Looks at the handshakes of all links, and does something about those whose hub is silent, or whose way there carries
   * other packets than before; every 15 s.
   */
  watch(): Promise<void>;
  /** What was seen of an endpoint's link the last time and the time before; undefined if nothing was. */
  seen(endpointId: string): Seen | undefined;
}

export function createFollow({
  lifecycle,
  links,
  hubNames,
  uplinksTo,
  log,
  now = () => performance.now(),
  unixNow = Date.now,
  onFailure,
}: FollowDependencies): Follow {
  const followedLinks = createFollowedLinks({ lifecycle, log, onFailure });
  const moves = createHubMoves({ lifecycle, links, followedLinks, hubNames, log });
  const { watch, seen } = createHubWatch({
    lifecycle,
    links,
    followedLinks,
    hubNames,
    uplinksTo,
    log,
    now,
    unixNow,
    onMissingEndpoint: moves.awaitName,
  });
  return { fill: moves.fill, followNames: moves.followNames, watch, seen };
}
