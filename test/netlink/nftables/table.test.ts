import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetlinkError } from '../../../src/netlink/error.ts';
import { decodeMessages } from '../../../src/netlink/message.ts';
import { deleteTables, replaceTables, type Table } from '../../../src/netlink/nftables/client.ts';
import * as statement from '../../../src/netlink/nftables/statement.ts';
import { prefixOf } from '../../../src/wireguard/address.ts';
import { fakeKernel } from '../../support/netlink/fake-kernel.ts';
import * as vectors from '../../support/netlink/vectors.ts';

const inet: Table = {
  family: 'inet',
  name: 'wgdriver',
  chains: [
    {
      name: 'prerouting',
      type: 'filter',
      hook: 'prerouting',
      priority: -150,
      policy: 'accept',
      // iif 5 ct state new ct mark set 0x40000005
      rules: [rule(statement.iif(5), statement.isNewConnection, statement.setConnectionMark(0x4000_0005))],
    },
    {
      name: 'output',
      type: 'route',
      hook: 'output',
      priority: -150,
      policy: 'accept',
      // ct direction reply meta mark set ct mark
      rules: [rule(statement.isReply, statement.setMarkOfConnection)],
    },
    {
      name: 'postrouting',
      type: 'filter',
      hook: 'postrouting',
      priority: 0,
      policy: 'drop',
      rules: [
        // oif 5 ct direction reply meta mark 0x40000005 accept
        rule(
          statement.oif(5),
          statement.isReply,
          statement.hasMark(0x4000_0005),
          statement.verdict('accept'),
        ),
        // meta l4proto ipv6-icmp meta mark set 0x40000000 accept
        rule(statement.isIcmpv6, statement.setMark(0x4000_0000), statement.verdict('accept')),
      ],
    },
  ],
};

const netdev: Table = {
  family: 'netdev',
  name: 'wgdriver',
  chains: [
    {
      name: 'egress-5',
      type: 'filter',
      hook: 'egress',
      device: 'eth5',
      priority: 0,
      policy: 'accept',
      rules: [
        // meta protocol arp accept
        rule(statement.isArp, statement.verdict('accept')),
        // meta protocol ip ip daddr 10.0.0.0/9 drop
        rule(statement.destination(prefixOf('10.1.2.3/9')), statement.verdict('drop')),
      ],
    },
  ],
};

function rule(...statements: readonly statement.Statement[]) {
  return statements.flatMap(({ expressions }) => expressions);
}

for (const [name, table, vector] of [
  ['inet', inet, vectors.inetTable],
  ['netdev', netdev, vectors.netdevTable],
] as const) {
  test(`a batch that replaces a table of ${name}, as nft sends it`, async () => {
    const kernel = fakeKernel();
    await replaceTables(kernel, [table]);
    const bare = ({ type, payload }: { type: number; payload: Uint8Array }) => ({ type, payload });
    assert.deepEqual(kernel.requests.map(bare), decodeMessages(vector).map(bare));
  });
}

test('what the kernel refused of a batch', async () => {
  const [refusal] = decodeMessages(vectors.noTable);
  // The third of the batch: its begin, the table that is made, the table that is deleted.
  const kernel = fakeKernel(
    [],
    [],
    [[refusal ?? assert.fail()]].map((messages) =>
      messages.map(({ type, flags, payload }) => ({ type, flags, payload })),
    ),
  );
  await assert.rejects(deleteTables(kernel, [inet]), (error: NetlinkError) => {
    assert(error instanceof NetlinkError);
    assert.equal(error.errno, 'ENOENT');
    assert.match(error.message, /^delete tables of nftables: ENOENT/);
    return true;
  });
});
