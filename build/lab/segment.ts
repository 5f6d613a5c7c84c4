import type { Duplex } from 'node:stream';

/** A guest's card, as the program that runs the guest hands it to the host. */
export interface Port {
  /** Hands an Ethernet frame to the guest, or drops it if the guest is slow, as a switch does. */
  send(frame: Buffer): void;
  /** Calls `see` with each Ethernet frame that the guest sends. */
  receive(see: (frame: Buffer) => void): void;
}

/** A guest's plug in a segment. */
export interface Plug {
  /** While false, no frame passes in either direction: the cable is out, the guest's link stays up. */
  connected: boolean;
  /** Takes the plug out for good. */
  remove(): void;
}

/**
 * One Ethernet segment between guests, and nothing else: a hub in this process. Nothing of it is a link on
 * the host.
 */
export class Segment {
  readonly #ports = new Map<Plug, Port>();
  readonly #taps = new Set<(frame: Buffer) => void>();

  /** Calls `see` with every Ethernet frame that a connected guest sends. Returns what ends it. */
  tap(see: (frame: Buffer) => void): () => void {
    this.#taps.add(see);
    return () => this.#taps.delete(see);
  }

  plug(port: Port): Plug {
    const plug: Plug = { connected: true, remove: () => this.#ports.delete(plug) };
    this.#ports.set(plug, port);
    port.receive((frame) => {
      if (plug.connected) this.#pass(plug, frame);
    });
    return plug;
  }

  #pass(from: Plug, frame: Buffer): void {
    for (const [plug, port] of this.#ports) {
      if (plug !== from && plug.connected) port.send(frame);
    }
    for (const see of this.#taps) see(frame);
  }
}

/** QEMU's stream backend at the other end of a socket: each frame with a 4-byte length before it. */
export function streamPort(socket: Duplex): Port {
  // It ends with QEMU, whose owner knows why.
  socket.on('error', () => {});
  return {
    send(frame) {
      if (socket.destroyed || socket.writableLength >= 4 << 20) return;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.length);
      socket.write(Buffer.concat([length, frame]));
    },
    receive(see) {
      let rest: Buffer = Buffer.alloc(0);
      socket.on('data', (chunk: Buffer) => {
        rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
          const end = 4 + rest.readUInt32BE(0);
          see(rest.subarray(4, end));
          rest = rest.subarray(end);
        }
      });
    },
  };
}
