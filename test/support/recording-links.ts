import { LinkError, type Links, type NewLink, type OwnedLink } from '../../src/links/links.ts';
import type { Device } from '../../src/wireguard/device.ts';

type Step = 'create' | 'configure' | 'delete' | 'list';

/** Links that are kept in memory, with the contract of src/links/links.ts, for tests of what is above them. */
export interface RecordingLinks extends Links {
  /** The links that there are, by name; `device` once they are configured. */
  readonly present: ReadonlyMap<string, { readonly link: NewLink; readonly device?: Device }>;
  /** What was asked, in order, `create wgd1a2b3c`. */
  readonly asked: readonly string[];
  /** Makes every next call of a step fail, or work again. */
  fail(step: Step, error: Error | undefined): void;
  /** Puts somebody else's link there. */
  addForeign(name: string): void;
  /** Puts a link there that was made and not marked yet. */
  addUnmarked(name: string): void;
  /** Takes a link away as the engine does, into a container. */
  take(name: string): void;
  /** Holds every next call of a step back, until the function that it resolves with is called. */
  hold(step: Step): Promise<() => void>;
}

export function recordingLinks(): RecordingLinks {
  const present = new Map<string, { link: NewLink; device?: Device }>();
  const foreign = new Set<string>();
  const unmarked = new Set<string>();
  const asked: string[] = [];
  const failures = new Map<Step, Error>();
  const held = new Map<Step, (release: () => void) => void>();

  async function begin(step: Step, name: string): Promise<void> {
    asked.push(`${step} ${name}`.trim());
    const hold = held.get(step);
    if (hold !== undefined) {
      held.delete(step);
      await new Promise<void>((release) => hold(release));
    }
    const failure = failures.get(step);
    if (failure !== undefined) {
      throw failure;
    }
  }

  return {
    present,
    asked,
    fail(step, error) {
      if (error === undefined) {
        failures.delete(step);
      } else {
        failures.set(step, error);
      }
    },
    addForeign: (name) => void foreign.add(name),
    addUnmarked: (name) => void unmarked.add(name),
    take: (name) => void present.delete(name),
    hold: (step) => new Promise((resolve) => held.set(step, resolve)),

    async create(link) {
      await begin('create', link.name);
      if (link.name.length > 15 || /\s/.test(link.name + link.endpointId)) {
        throw new LinkError('create', link.name, 'Numerical result out of range');
      }
      if ([present, foreign, unmarked].some((links) => links.has(link.name))) {
        throw new LinkError('create', link.name, 'File exists', 'EEXIST');
      }
      present.set(link.name, { link });
    },

    async configure(name, device) {
      await begin('configure', name);
      const entry = present.get(name);
      if (entry === undefined) {
        throw new LinkError('configure', name, 'No such device', 'ENODEV');
      }
      present.set(name, { ...entry, device });
    },

    async delete(name) {
      if (![present, foreign, unmarked].some((links) => links.has(name))) {
        return;
      }
      await begin('delete', name);
      if (foreign.has(name) || unmarked.has(name)) {
        throw new LinkError('delete', name, 'it is not this driver’s');
      }
      present.delete(name);
    },

    async deleteUnfinished(name) {
      await begin('delete', name);
      unmarked.delete(name);
      present.delete(name);
    },

    async list() {
      await begin('list', '');
      return [...present.values()].map(({ link }): OwnedLink => link);
    },
  };
}
