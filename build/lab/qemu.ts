import { spawn } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import type { Duplex, Readable } from 'node:stream';
import { DIES_WITH_US, ended } from './command.ts';
import type { Machine, MachineOptions } from './machine.ts';
import { streamPort } from './segment.ts';

// A device without MSI-X: QEMU 10.0 now and then dies in msix_table_mmio_write.
const STEADY = ['pci=nomsi', 'panic=-1', 'console=ttyS0', 'quiet', 'net.ifnames=0'];
// Each saves time under emulation; together 1.5 s of a boot and a tenth of dockerd's start.
const FAST = [
  'mitigations=off',
  'nokaslr',
  'apparmor=0',
  'audit=0',
  'cryptomgr.notests=1',
  'no_timer_check',
  'clocksource=tsc',
  'tsc=reliable',
  'random.trust_cpu=on',
  'rcupdate.rcu_expedited=1',
  'nowatchdog',
  '8250.nr_uarts=1',
];

/** Starts QEMU with the image's own kernel. It dies with this process; whoever calls ends it otherwise. */
export function startQemu(options: MachineOptions): Machine {
  const stdio: (number | 'pipe' | 'ignore')[] = ['ignore', 'pipe', 'pipe'];
  const inherit = (what: number | 'pipe') => stdio.push(what) - 1;
  // Inherited sockets and nameless files: nothing on the host's file system or network to clean up.
  const file = (handle: FileHandle) => `/proc/self/fd/${inherit(handle.fd)}`;
  const clock = new Date(Date.now() + options.clockOffsetSeconds * 1000).toISOString().slice(0, 19);
  const args = [
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,hpet=off,smm=off,vmport=off,sata=off,smbus=off,i8042=off'],
    // Five-level page tables cost an emulated guest a tenth.
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off'],
    ...['-smp', String(options.cpus), '-m', String(options.memoryMegabytes)],
    ...['-rtc', `base=${clock}`, '-serial', 'stdio'],
    ...['-kernel', options.image.kernel, '-initrd', file(options.initramfs)],
    ...['-append', [...STEADY, ...FAST, ...options.bootOptions].join(' ')],
  ];
  const drive = (id: string, settings: string) => {
    args.push('-drive', `if=none,id=${id},${settings}`, '-device', `virtio-blk-pci,drive=${id}`);
  };
  // The image behind it is read-only, and User-Mode Linux holds a lock on it that QEMU's own would meet.
  drive('root', `format=qcow2,backing.file.locking=off,file=${file(options.disk.file)}`);
  // Not locked on the host, which writes into it.
  drive('files', `format=raw,cache=unsafe,read-only=on,file.locking=off,file=${file(options.files)}`);

  const agent = inherit('pipe');
  args.push('-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,fd=${agent}`);
  args.push('-device', 'virtserialport,chardev=agent,name=lab');
  const cards = options.cards.map((mac, card) => {
    const fd = inherit('pipe');
    args.push('-netdev', `stream,id=net${card},addr.type=fd,addr.str=${fd}`);
    args.push('-device', `virtio-net-pci,netdev=net${card},mac=${mac}`);
    return fd;
  });

  const [setpriv = '', ...words] = [...DIES_WITH_US, 'qemu-system-x86_64', ...args];
  const child = spawn(setpriv, words, { stdio });
  let console = '';
  for (const stream of [child.stdout, child.stderr] as (Readable | null)[]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      console += text;
    });
  }
  return {
    child,
    agent: child.stdio[agent] as Duplex,
    ports: cards.map((fd) => streamPort(child.stdio[fd] as Duplex)),
    filesDevice: '/dev/vdb',
    cardPrefix: 'eth',
    console: () => console,
    exit: ended(child),
  };
}
