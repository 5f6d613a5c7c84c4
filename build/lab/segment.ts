import type { Duplex } from 'node:stream';

/** A guest's plug in a segment. */
export interface Plug {
  /** While false, no frame passes in either direction: the cable is out, the guest's link stays up. */
  connected: boolean;
  /** Takes the plug out for good. */
  remove(): void;
}

/**
 * One Ethernet segment between guests, and nothing else: a hub in this process, which QEMU's stream
 * backend (frames with a 4-byte length before each) reaches through inherited sockets. Nothing of it is
 * visible on the host's network.
 */
export class Segment {
  readonly #ports = new Map<Plug, Duplex>();
  readonly #taps = new Set<(frame: Buffer) => void>();

  /** Calls `see` with every Ethernet frame that a connected guest sends. Returns what ends it. */
  tap(see: (frame: Buffer) => void): () => void {
    this.#taps.add(see);
    return () => this.#taps.delete(see);
  }

  /** Joins one QEMU's end of a socket. */
  plug(port: Duplex): Plug {
    const plug: Plug = { connected: true, remove: () => this.#ports.delete(plug) };
    this.#ports.set(plug, port);
    let rest: Buffer = Buffer.alloc(0);
    port.on('data', (chunk: Buffer) => {
      rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const end = 4 + rest.readUInt32BE(0);
        if (plug.connected) this.#pass(plug, rest.subarray(0, end));
        rest = rest.subarray(end);
      }
    });
    port.on('error', () => plug.remove());
    port.on('close', () => plug.remove());
    return plug;
  }

  #pass(from: Plug, message: Buffer): void {
    for (const [plug, port] of this.#ports) {
      // As a switch does, drop what a slow receiver has no room for, rather than keep it without bound.
      if (plug !== from && plug.connected && port.writableLength < 4 << 20) port.write(message);
    }
    for (const see of this.#taps) see(message.subarray(4));
  }
}
