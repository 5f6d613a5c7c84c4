// As what systemd gets, a datagram with its sender's credentials, which Node cannot receive; perl can.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { notifyReady, notifyStatus } from '../../src/service/notify.ts';

const isThere = spawnSync('systemd-notify', ['--version']).status === 0 && process.getuid?.() === 0;
const options = isThere ? {} : { skip: 'needs systemd-notify and root' };

/** Prints the process id of each datagram's sender (struct ucred, unix(7)) and its text, in one line. */
const receiver = `
  use Socket qw(:all);
  $| = 1;
  socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
  setsockopt($s, SOL_SOCKET, 16, 1) or die;
  print "listening\\n";
  # struct msghdr of one buffer and room for the credentials alone: what else comes, a descriptor that systemd-notify
  # waits for, is closed at once.
  while (1) {
    my ($text, $control) = ("\\0" x 4096, "\\0" x 32);
    my $iov = pack('PQ', $text, 4096);
    my $header = pack('QL x4 PQ PQ l x4', 0, 0, $iov, 1, $control, 32, 0);
    my $length = syscall($ARGV[1], fileno($s), $header, 0);
    last if $length < 0;
    my $pid = unpack('x16 l', $control);
    my $line = join(' ', sort split(/\\n/, substr($text, 0, $length)));
    print "$pid $line\\n" if $length;
  }`;

const recvmsg = process.arch === 'arm64' ? '212' : '47';

test('what is told names this process as its sender, whichever program it went by', options, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-notify-'));
  const NOTIFY_SOCKET = join(folder, 'notify');
  const perl = spawn('perl', ['-e', receiver, NOTIFY_SOCKET, recvmsg], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const lines = createInterface(perl.stdout)[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'listening');
    await notifyReady({ ...process.env, NOTIFY_SOCKET });
    assert.equal((await lines.next()).value, `${process.pid} MAINPID=${process.pid} READY=1`);
    let line = '';
    void notifyStatus({ ...process.env, NOTIFY_SOCKET }, 'not ready: ENOSPC');
    while (!line.includes('STATUS')) {
      line = String((await lines.next()).value);
    }
    assert.equal(line, `${process.pid} MAINPID=${process.pid} STATUS=not ready: ENOSPC`);
  } finally {
    perl.kill('SIGKILL');
    await once(perl, 'close');
    await rm(folder, { recursive: true });
  }
});

test('nobody asks: nothing is started', async () => {
  await notifyReady({ PATH: '/nowhere' });
  await notifyStatus({ PATH: '/nowhere' }, 'serving');
});

test('nobody receives: that is an error of readiness, and none of a status', options, async () => {
  const env = { ...process.env, NOTIFY_SOCKET: '/nowhere' };
  await assert.rejects(
    notifyReady(env),
    /^Error: tell systemd that the service is ready: .*systemd-notify --pid=\d+ --ready: exit status 1/,
  );
  await notifyStatus(env, 'serving');
});
