import { concat } from '../../../src/netlink/bytes.ts';
import { NetlinkError } from '../../../src/netlink/error.ts';
import { decodeMessages, encodeMessage, type NetlinkMessage } from '../../../src/netlink/message.ts';
import type { NetlinkSocket } from '../../../src/netlink/socket.ts';

/** A message as a script has it: the rest is the request's. */
export type Scripted = Pick<NetlinkMessage, 'type'> & Partial<NetlinkMessage>;

export interface FakeKernel extends NetlinkSocket {
  /** What it was asked. */
  readonly requests: readonly NetlinkMessage[];
}

/** A socket to a kernel that answers each request with the next of the scripts: datagrams of messages. */
export function fakeKernel(...scripts: readonly (readonly (readonly Scripted[])[])[]): FakeKernel {
  const requests: NetlinkMessage[] = [];
  const datagrams: Uint8Array[] = [];
  return {
    requests,
    send(bytes) {
      for (const request of decodeMessages(bytes)) {
        const defaults = { flags: 0, sequence: request.sequence, portId: 4711, payload: new Uint8Array() };
        for (const messages of scripts[requests.length] ?? []) {
          datagrams.push(concat(messages.map((message) => encodeMessage({ ...defaults, ...message }))));
        }
        requests.push(request);
      }
      return Promise.resolve();
    },
    receive: () => datagrams.shift(),
    async receivePart() {
      const datagram = datagrams.shift();
      if (datagram === undefined) {
        throw new NetlinkError('receive', 'netlink message', { errno: 'EAGAIN' });
      }
      return datagram;
    },
    close: async () => {},
  };
}
