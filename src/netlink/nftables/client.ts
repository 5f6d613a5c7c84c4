import { NetlinkError } from '../error.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../message.ts';
import { executeBatch, type Request } from '../request.ts';
import type { NetlinkSocket } from '../socket.ts';
import type { Expression } from './expression.ts';
import {
  type AddressSet,
  type Chain,
  encodeBatchMark,
  encodeDeleteTable,
  encodeNewChain,
  encodeNewElements,
  encodeNewRule,
  encodeNewSet,
  encodeNewTable,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWSET,
  NFT_MSG_NEWSETELEM,
  NFT_MSG_NEWTABLE,
  type TableName,
} from './table.ts';

/** linux/netlink.h: at the end of the list. */
const NLM_F_APPEND = 0x800;

/** A table with its chains, and each chain with its rules, which are asked in their order. */
export interface Table extends TableName {
  readonly sets?: readonly AddressSet[];
  readonly chains: readonly (Chain & { readonly rules: readonly (readonly Expression[])[] })[];
}

/**
 * Puts tables in the place of what has their names, all in one step: the kernel waits for whoever is still in
 * the old ones, once for all.
 * @throws NetlinkError; then nothing has changed
 */
export async function replaceTables(socket: NetlinkSocket, tables: readonly Table[]): Promise<void> {
  const steps = tables.flatMap((table) => [...deletionOf(table), ...creationOf(table)]);
  await executeBatch(socket, inBatch('replace', steps));
}

/** Makes a table, unless there is one of its name. @returns whether it did @throws NetlinkError */
export async function createTableIfNone(socket: NetlinkSocket, table: Table): Promise<boolean> {
  const [first, ...others] = creationOf(table);
  try {
    const steps = first === undefined ? [] : [{ ...first, flags: NLM_F_CREATE | NLM_F_EXCL }, ...others];
    await executeBatch(socket, inBatch('create', steps));
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === 'EEXIST') {
      return false;
    }
    throw error;
  }
}

/** Deletes tables that are there. @throws NetlinkError */
export async function deleteTables(socket: NetlinkSocket, tables: readonly TableName[]): Promise<void> {
  await executeBatch(socket, inBatch('delete', tables.flatMap(deletionOf)));
}

type Step = Pick<Request, 'type' | 'flags' | 'payload'>;

/** Made first, so that there is one to delete: that it is missing would be an error. */
function deletionOf(table: TableName): Step[] {
  return [
    { type: NFT_MSG_NEWTABLE, flags: NLM_F_CREATE, payload: encodeNewTable(table) },
    { type: NFT_MSG_DELTABLE, payload: encodeDeleteTable(table) },
  ];
}

function creationOf(table: Table): Step[] {
  const flags = NLM_F_CREATE;
  return [
    { type: NFT_MSG_NEWTABLE, flags, payload: encodeNewTable(table) },
    ...(table.sets ?? []).flatMap((set, index) => [
      { type: NFT_MSG_NEWSET, flags, payload: encodeNewSet(table, set, index + 1) },
      ...encodeNewElements(table, set).map((payload) => ({ type: NFT_MSG_NEWSETELEM, flags, payload })),
    ]),
    ...table.chains.map(({ rules: _, ...chain }) => ({
      type: NFT_MSG_NEWCHAIN,
      flags,
      payload: encodeNewChain(table, chain),
    })),
    ...table.chains.flatMap(({ name, rules }) =>
      rules.map((rule) => ({
        type: NFT_MSG_NEWRULE,
        flags: flags | NLM_F_APPEND,
        payload: encodeNewRule(table, name, rule),
      })),
    ),
  ];
}

function inBatch(operation: string, steps: readonly Step[]): Request[] {
  const payload = encodeBatchMark();
  const marked = [{ type: NFNL_MSG_BATCH_BEGIN, payload }, ...steps, { type: NFNL_MSG_BATCH_END, payload }];
  return marked.map((step) => ({ ...step, operation, subject: 'tables of nftables' }));
}
