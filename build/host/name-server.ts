/**
 * A name server that answers every question for an IPv4 address with the same one, so that the answer tells who was
 * asked (RFC 1035); or with what a function says, and with silence where that says nothing. As a program, for another network namespace: `name-server.ts ANSWER ADDRESS…`,
 * which prints what it is asked, a name a line.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export interface NameServer {
  close(): void;
}

export async function startNameServer(
  address: string,
  answer: string | ((name: string) => string | undefined),
  onQuestion: (name: string) => void = () => {},
): Promise<NameServer> {
  const socket = createSocket('udp4', (query, { port, address: asker }) => {
    const { name, isForIpv4, end } = firstQuestion(query);
    onQuestion(name);
    const found = typeof answer === 'string' ? answer : answer(name);
    if (found !== undefined) {
      socket.send(answerTo(query.subarray(0, end), isForIpv4 ? found : undefined), port, asker);
    }
  });
  socket.bind(53, address);
  await once(socket, 'listening');
  return { close: () => socket.close() };
}

const headerBytes = 12;
const typeA = 1;

function firstQuestion(query: Buffer): { name: string; isForIpv4: boolean; end: number } {
  const labels: string[] = [];
  let at = headerBytes;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), isForIpv4: query.readUInt16BE(at + 1) === typeA, end: at + 5 };
}

/** @param question header and question of the query */
function answerTo(question: Buffer, address: string | undefined): Buffer {
  const header = Buffer.from(question);
  // An answer to a question that wanted recursion, which is available; one question, no other sections.
  header.writeUInt16BE(0x8180, 2);
  for (const [index, count] of [1, address === undefined ? 0 : 1, 0, 0].entries()) {
    header.writeUInt16BE(count, 4 + 2 * index);
  }
  if (address === undefined) {
    return header;
  }
  // The name of the question, type A, class IN, kept for no time, four bytes.
  const record = Buffer.from([0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4]);
  return Buffer.concat([header, record, Buffer.from(address.split('.').map(Number))]);
}

if (import.meta.main) {
  const [answer = '', ...addresses] = process.argv.slice(2);
  for (const address of addresses) {
    await startNameServer(address, answer, (name) => console.log(name));
  }
  console.log('ready');
}
