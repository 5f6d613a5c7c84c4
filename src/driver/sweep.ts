import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Store } from './store.ts';

/**
 * Deletes the links that carry our mark and belong to no endpoint: their containers were removed while
 * the driver was away. Links of somebody else's are not even listed.
 */
export async function sweepLinks(store: Store, links: Links, log: Log): Promise<void> {
  for (const { name, endpointId } of await links.list()) {
    if (store.endpoint(endpointId) !== undefined) {
      continue;
    }
    try {
      await links.delete(name);
      log.info('orphaned link deleted', { endpoint: endpointId, link: name });
    } catch (error) {
      log.warn('an orphaned link could not be deleted', { cause: String(error), link: name });
    }
  }
}
