import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { encodeAttributes } from '../../src/netlink/attribute.ts';
import { concat, u32 } from '../../src/netlink/bytes.ts';
import { NETLINK_SOCK_DIAG, withNetlinkSocket } from '../../src/netlink/socket.ts';
import { decodeSendBuffer, encodeGetUdpSockets, sendBuffersOfPort } from '../../src/netlink/socket-diag.ts';
import { assertSurvivesAnyBytes } from '../support/netlink/malformed.ts';

const skip = netlinkObstacle();

test('SOCK_DIAG_BY_FAMILY for UDP sockets of a port, from linux/inet_diag.h', () => {
  const request = encodeGetUdpSockets(0x1234);
  assert.equal(request.length, 56);
  assert.deepEqual(request.subarray(0, 10), Uint8Array.of(2, 17, 64, 0, 255, 255, 255, 255, 0x12, 0x34));
  assert(request.subarray(10).every((byte) => byte === 0));
});

test('the size of a send buffer, and any other bytes', () => {
  const header = new Uint8Array(72);
  const memory = concat([0, 212992, 0, 0x7fff_ffff, 0].map(u32));
  const message = concat([header, encodeAttributes([{ type: 7, value: memory }])]);
  assert.equal(decodeSendBuffer(message), 0x7fff_ffff);
  assert.equal(decodeSendBuffer(header), undefined);
  assert.throws(() => decodeSendBuffer(header.subarray(1)), /inet_diag_msg: expected 72 bytes, got 71/);
  assertSurvivesAnyBytes(decodeSendBuffer, message);
});

test(
  'the kernel lists the sockets of a port alone; no process has a send buffer as WireGuard gives one',
  skip === undefined ? {} : { skip },
  async () => {
    const [socket, other] = [createSocket('udp4'), createSocket('udp4')];
    try {
      for (const each of [socket, other]) {
        each.bind(0, '127.0.0.1');
        await once(each, 'listening');
      }
      socket.setSendBufferSize(0x7fff_ffff);
      const buffers = await withNetlinkSocket({ protocol: NETLINK_SOCK_DIAG }, (netlink) =>
        sendBuffersOfPort(netlink, socket.address().port),
      );
      assert.deepEqual(buffers, [socket.getSendBufferSize()]);
      assert((buffers[0] ?? 0) < 0x7fff_ffff);
    } finally {
      socket.close();
      other.close();
    }
  },
);
