import type { Links, OwnedLink } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Driver } from '../plugin/driver.ts';
import type { Store } from './store.ts';

/**
 * Deletes the links that carry our mark and belong to no endpoint: their containers were removed while
 * the driver was away. Links of somebody else's are not even listed. Gives those that belong to one: on
 * their way between host and container, or stranded.
 */
export async function sweepLinks(store: Store, links: Links, log: Log): Promise<OwnedLink[]> {
  const kept: OwnedLink[] = [];
  for (const link of await links.list()) {
    const { name, endpointId } = link;
    if (store.endpoint(endpointId) !== undefined) {
      kept.push(link);
      continue;
    }
    try {
      await links.delete(name);
      log.info('orphaned link deleted', { endpoint: endpointId, link: name });
    } catch (error) {
      log.warn('an orphaned link could not be deleted', { cause: String(error), link: name });
    }
  }
  return kept;
}

/**
 * Deletes the endpoints of those links that are still on the host, some time after they were first seen
 * there: the engine moves a link at once, so it gave up on telling that their containers are gone.
 */
export async function sweepStranded(
  seen: readonly OwnedLink[],
  store: Store,
  links: Links,
  driver: Pick<Driver, 'deleteEndpoint'>,
  log: Log,
): Promise<void> {
  const here = seen.length === 0 ? [] : await links.list();
  for (const { name, endpointId } of here.filter((link) =>
    seen.some((earlier) => earlier.name === link.name),
  )) {
    const endpoint = store.endpoint(endpointId);
    if (endpoint === undefined) {
      continue;
    }
    try {
      await driver.deleteEndpoint({ NetworkID: endpoint.networkId, EndpointID: endpointId });
      log.info('stranded link deleted', { endpoint: endpointId, link: name });
    } catch (error) {
      log.warn('a stranded link could not be deleted', { cause: String(error), link: name });
    }
  }
}
