import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Duplex, Readable } from 'node:stream';
import { DIES_WITH_US, ended } from './command.ts';
import type { Machine, MachineOptions } from './machine.ts';
import type { Port } from './segment.ts';

/**
 * Around the kernel: a /dev/shm of its own, which holds the guest's memory and the folder of its control
 * socket and is gone with it whatever ends it, and no core dump if it panics.
 */
const PRIVATE_MEMORY = ['unshare', '--mount', 'sh', '-c'];
const ENTER = 'ulimit -c 0; mount -t tmpfs -o size=100% tmpfs /dev/shm && exec "$@"';

/**
 * Before it: to one processor. The kernel and the process whose call it answers take turns, and to wake one another over
 * two processors costs a tenth of a guest's time. It runs on any where this one is not for us.
 */
const PIN = 'taskset --pid --cpu-list "$1" $$ >/dev/null 2>&1; shift';

/** Starts a User-Mode Linux kernel. It dies with this process; whoever calls ends it otherwise. */
export async function startUml(kernel: string, options: MachineOptions, processor: number): Promise<Machine> {
  const stdio: (number | 'pipe' | 'ignore')[] = ['ignore', 'pipe', 'pipe'];
  const inherit = (what: number | 'pipe') => stdio.push(what) - 1;
  // Inherited sockets and nameless files: nothing on the host's file system to clean up.
  const file = (handle: FileHandle) => `/proc/self/fd/${inherit(handle.fd)}`;
  const agent = inherit('pipe');
  const cards = await Promise.all(options.cards.map(openCard));
  const args = [
    `mem=${options.memoryMegabytes}M`,
    `ubd0=${file(options.disk.file)}`,
    // Read-only, no lock on the host, and no copy-on-write file whatever its first bytes are.
    `ubd1rcd=${file(options.files)}`,
    `initrd=${file(options.initramfs)}`,
    ...['con=null', 'con0=null,fd:1', `ssl0=fd:${agent}`],
    ...['uml_dir=/dev/shm/', 'umid=guest'],
    // Without seccomp processes are ptraced, which is half as fast.
    ...['seccomp=on', 'panic=-1', `lab.clock=${options.clockOffsetSeconds}`, 'quiet', 'net.ifnames=0'],
    ...cards.map(({ argument }, card) => `vec${card}:${argument},mac=${options.cards[card]}`),
    // None of which a machine has unless somebody makes it.
    ...['dummy.numdummies=0', 'ifb.numifbs=0'],
    ...options.bootOptions,
  ];
  const script = `${PIN}; ${ENTER}`;
  const [setpriv = '', ...words] = [
    ...[...DIES_WITH_US, ...PRIVATE_MEMORY, script, 'sh', String(processor)],
    ...[kernel, ...args],
  ];
  const child = spawn(setpriv, words, { stdio, env: { ...process.env, TMPDIR: '/dev/shm' } });
  let console = '';
  for (const stream of [child.stdout, child.stderr] as (Readable | null)[]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      console += text;
    });
  }
  return {
    child,
    agent: child.stdio[agent] as Duplex,
    ports: cards.map(({ port }) => port),
    filesDevice: '/dev/ubdb',
    cardPrefix: 'vec',
    console: () => console,
    exit: ended(child).finally(() => {
      for (const { socket } of cards) socket.close();
    }),
  };
}

interface Card {
  readonly socket: Socket;
  readonly port: Port;
  /** How the kernel is told of it. */
  readonly argument: string;
}

/** The first bytes of a data message of L2TPv3 over UDP (RFC 3931, 4.1.2.1). */
const DATA_MESSAGE = 0x0003_0000;
const HEADER = 8;

/** A card whose frames come as L2TPv3 over UDP on loopback: the kernel opens no socket that it inherits. */
async function openCard(): Promise<Card> {
  const socket = await loopbackSocket();
  // The guest's own end. Should another process take its port in between, the guest panics at its start.
  const reserved = await loopbackSocket();
  const theirs = reserved.address().port;
  reserved.close();
  // What does not know it is not heard.
  const session = randomInt(1, 2 ** 31);
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(DATA_MESSAGE, 0);
  header.writeUInt32BE(session, 4);
  socket.setRecvBufferSize(4 << 20);
  // Nobody is there before the guest is and after it.
  socket.on('error', () => {});
  const port: Port = {
    send: (frame) => socket.send([header, frame], theirs, '127.0.0.1', () => {}),
    receive(see) {
      socket.on('message', (message) => {
        if (message.subarray(0, HEADER).equals(header)) see(message.subarray(HEADER));
      });
    },
  };
  const ends = `src=127.0.0.1,srcport=${theirs},dst=127.0.0.1,dstport=${socket.address().port}`;
  const argument = `transport=l2tpv3,udp=1,${ends},rx_session=${session},tx_session=${session}`;
  return { socket, port, argument };
}

async function loopbackSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}
