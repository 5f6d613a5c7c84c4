import { refusedTunnels } from '../killswitch/inner-tunnels.ts';
import type { Namespaces } from '../killswitch/namespaces.ts';
import type { Survey } from './engine-survey.ts';
import { type Finding, listed, pass, skip, warn } from './finding.ts';

const name = 'inner-tunnels';

/** A container whose kill switch is on, and the links in it that look like tunnels of its own and carry nothing. */
export interface InnerTunnels {
  readonly container: string;
  readonly refused: readonly string[] | Error;
}

export async function probeInnerTunnels(
  { containers }: Pick<Survey, 'containers'>,
  namespaces: Pick<Namespaces, 'read'>,
): Promise<InnerTunnels[]> {
  const found: InnerTunnels[] = [];
  for (const { name: container, sandboxKey, attachments } of containers) {
    if (sandboxKey.startsWith('/') && attachments.some(({ hasKillswitch }) => hasKillswitch)) {
      const refused = await namespaces.read(sandboxKey as `/${string}`).then(
        ({ links }) => refusedTunnels(links).map((link) => link.name),
        (error: Error) => error,
      );
      found.push({ container, refused });
    }
  }
  return found;
}

/** Looks for tunnels that containers have made themselves and that the kill switch refuses (docs/leaks.md). */
export function judgeInnerTunnels(found: readonly InnerTunnels[]): Finding {
  const refused = found.flatMap(({ container, refused }) =>
    refused instanceof Error ? [] : refused.map((link) => `${container} (${link})`),
  );
  if (refused.length > 0) {
    return warn(
      name,
      `the kill switch blocks a tunnel that runs inside the container: ${listed(refused)}`,
      'use the kernel’s WireGuard inside the container, or put it on a network with killswitch=off',
    );
  }
  const [unread] = found.flatMap(({ container, refused }) =>
    refused instanceof Error ? [`${container}: ${refused.message}`] : [],
  );
  return unread === undefined
    ? pass(name, 'the kill switch blocks no tunnel inside a container')
    : skip(name, `could not look into ${unread}`);
}
