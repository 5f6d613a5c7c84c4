import type { Log } from '../log.ts';
import { refusedTunnels } from './inner-tunnels.ts';
import type { NamespaceFile } from './namespace-file.ts';
import type { Applied } from './namespaces.ts';
import type { ContainerLink } from './rules.ts';

/** Makes a function that says once what this kernel does not have of a protection. */
export function createFramesWarning(log: Log): (applied: Applied) => void {
  let hasSaid = false;
  return ({ unfilteredFrames: cause }) => {
    if (cause !== undefined && !hasSaid) {
      hasSaid = true;
      log.warn(
        'this kernel cannot stop frames that a process with CAP_NET_RAW writes to another network’s link',
        {
          cause,
        },
      );
    }
  };
}

/** Each said once for a container: its root may make as many links as it likes. */
export interface ContainerWarnings {
  /** Of a tunnel of the container's own that is closed. */
  refusedTunnel(links: readonly ContainerLink[]): void;
  /** Each driver keeps closed what it does not know, the other's tunnels, too. */
  otherDriver(itsLink: ContainerLink): void;
}

export function createContainerWarnings(sandbox: NamespaceFile, log: Log): ContainerWarnings {
  let hasSaidTunnel = false;
  let hasSaidDriver = false;
  return {
    refusedTunnel(links) {
      const [refused] = refusedTunnels(links);
      if (refused !== undefined && !hasSaidTunnel) {
        hasSaidTunnel = true;
        log.warn(
          'a container has a tunnel of its own, which the kill switch blocks because the kernel does not say ' +
            'where its packets leave. A link of the kernel’s WireGuard, made inside the container, would work',
          { sandbox, link: refused.name, kind: refused.kind },
        );
      }
    },

    otherDriver({ name: link }) {
      if (!hasSaidDriver) {
        hasSaidDriver = true;
        log.warn(
          'a container is on networks of two wgdrivers, and each blocks the other’s tunnel; connect it to ' +
            'networks of only one of them',
          { sandbox, link },
        );
      }
    },
  };
}
