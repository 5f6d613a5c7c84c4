import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { cacheFolder } from '../../build/lab/cache.ts';
import { type Guest, JobTimeout, type Lab, LabError, labObstacle, openLab } from '../../build/lab/index.ts';
import { failureFile } from '../../build/lab/kernel.ts';

const obstacle = await labObstacle();
const skip = process.env.CI === 'true' ? false : (obstacle ?? false);

// Emulated, it takes minutes, and other tests boot such guests as well.
const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;

for (const wanted of isFull ? ([undefined, 'debian'] as const) : [undefined]) {
  describe(
    `lab, ${wanted === undefined ? 'the quickest kernel' : 'a suite’s own kernel'}`,
    { skip, timeout: 45 * 60_000 },
    () => testLab(wanted),
  );
}

it('emulates where no kernel can be built, and says why', {
  skip: skip || (!isFull && 'in the full run'),
  timeout: 45 * 60_000,
}, async () => {
  const images = cacheFolder();
  const cache = await mkdtemp(join(tmpdir(), 'wgdriver-lab-test-'));
  try {
    for (const name of await readdir(images)) {
      if (/^trixie-.*[0-9a-f]$/.test(name)) await symlink(join(images, name), join(cache, name));
    }
    await writeFile(join(cache, basename(await failureFile())), 'no compiler');
    const script = ['build/lab/run.ts', 'trixie', '--script', 'uname -r'];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, script, {
      env: { ...process.env, WGDRIVER_LAB_CACHE: cache },
    });
    assert.match(stderr, /^lab: guests run under emulation, some fourteen times slower: no compiler$/m);
    assert.match(stderr, /^--- trixie, debian kernel, /m);
    assert.match(stdout, /^6\.12\./);
  } finally {
    await rm(cache, { recursive: true });
  }
});

function testLab(kernel: 'debian' | undefined) {
  let lab: Lab;
  let guest: Guest;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wgdriver-lab-test-'));
    await writeFile(join(folder, 'tool'), '#!/bin/sh\necho from the host\n', { mode: 0o755 });
    lab = await openLab();
    await lab.prepare('trixie');
    guest = await lab.boot({
      suite: 'trixie',
      kernel,
      files: { '/usr/local/bin/tool': join(folder, 'tool'), '/root/note': Buffer.from('a note\n') },
    });
  });

  after(async () => {
    await lab?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('hands back the status of a script and all it printed, in order', async () => {
    const pieces: string[] = [];
    const { status, output } = await guest.exec('echo one; echo two >&2; echo three; exit 3', {
      onOutput: (chunk) => pieces.push(chunk.toString()),
    });
    assert.equal(status, 3);
    assert.equal(output, 'one\ntwo\nthree\n');
    assert.equal(pieces.join(''), output);
    assert.equal((await guest.exec('kill -TERM $$')).status, 128 + 15);
    const many = await guest.exec('seq 200000');
    assert.equal(many.output, `${Array.from({ length: 200_000 }, (_, n) => n + 1).join('\n')}\n`);
  });

  it('takes scripts longer than what waits in a serial line, one after another and at once', async () => {
    const script = (number: number) => `# ${'x'.repeat(20_000)}\necho ${number}`;
    assert.equal((await guest.exec(script(0))).output, '0\n');
    const ends = await Promise.all([1, 2, 3].map((number) => guest.exec(script(number))));
    assert.deepEqual(
      ends.map(({ output }) => output),
      ['1\n', '2\n', '3\n'],
    );
    assert.equal((await guest.exec('echo there')).output, 'there\n');
  });

  it('passes output on while the script still runs', async () => {
    let first = 0;
    const start = Date.now();
    await guest.exec('echo early; sleep 2', {
      onOutput: () => {
        first ||= Date.now() - start;
      },
    });
    assert.ok(first > 0 && first < 1500, `first output after ${first} ms of a job of 2 s`);
  });

  it('brings files in and out', async () => {
    const boot = await guest.exec('tool; cat note; stat -c %a /root /usr/local/bin');
    assert.equal(boot.output, 'from the host\na note\n700\n755\n');
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, n) => n % 251));
    await guest.put({ '/srv/deep/bytes': bytes, '/srv/folder': folder });
    const back = await guest.get('/srv/deep/bytes', '/srv/folder/tool', '/not/there');
    assert.deepEqual(Object.keys(back), ['/srv/deep/bytes', '/srv/folder/tool']);
    assert.ok(back['/srv/deep/bytes']?.equals(bytes));
    assert.equal((await guest.exec('/srv/folder/tool')).output, 'from the host\n');
  });

  it('has the kernel that was asked for', async () => {
    if (kernel !== undefined) assert.equal(guest.kernel, kernel);
    const { output } = await guest.exec('uname -r; grep vendor_id /proc/cpuinfo');
    assert.match(output, guest.kernel === 'uml' ? /: User Mode Linux$/m : /^6\.12\./);
  });

  it('has WireGuard in its kernel', async () => {
    const script = 'ip link add wgtest type wireguard && ip -d link show wgtest && ip link delete wgtest';
    const { status, output } = await guest.exec(script);
    assert.equal(status, 0, output);
    assert.match(output, /^ +wireguard /m);
  });

  it('ends a job that runs too long, and leaves the guest usable', async () => {
    const late = guest.exec('echo begun; sleep 300 & sleep 301', { timeoutSeconds: 2 });
    await assert.rejects(late, (error) => error instanceof JobTimeout && error.output === 'begun\n');
    assert.equal((await guest.exec('sleep 0.2; pgrep -c sleep')).output, '0\n');
  });

  it('resolves when the script ends, and keeps what it left running', async () => {
    const start = Date.now();
    await guest.exec('(sleep 2; echo late words; sleep 60) &');
    assert.ok(Date.now() - start < 1500, 'waited for a process in the background');
    const sleeping = await guest.exec('sleep 3; pgrep -xc sleep');
    assert.equal(sleeping.output, '1\n');
    assert.match(guest.log(), /late words/);
  });

  it('runs jobs side by side', async () => {
    const jobs = [1, 2, 3].map((n) => guest.exec(`sleep 2; echo ${n}`));
    const start = Date.now();
    const ends = await Promise.all(jobs);
    assert.deepEqual(
      ends.map((end) => end.output),
      ['1\n', '2\n', '3\n'],
    );
    assert.ok(Date.now() - start < 5000, 'three jobs of 2 s took more than 5 s');
  });

  it('reaches nothing outside', async () => {
    const { output } = await guest.exec('ip -brief link; ip route; ip -6 route show default');
    assert.match(output, /^lo +UNKNOWN[^\n]*\n$/);
  });

  it('tells a guest that hangs, and one that panics, from a job that fails', async () => {
    const other = await lab.boot({ suite: 'trixie', kernel, cpus: 1 });
    process.kill(other.pid, 'SIGSTOP');
    await assert.rejects(
      other.exec('true', { timeoutSeconds: 1 }),
      (error) => error instanceof LabError && /hangs/.test(error.message),
    );
    process.kill(other.pid, 'SIGCONT');
    await assert.rejects(
      other.exec('sleep 0.2; echo c >/proc/sysrq-trigger; sleep 60'),
      (error) => error instanceof LabError && /died.*panic/s.test(error.message),
    );
  });

  it('tells a guest whose disk is full from a job that fails', async () => {
    const other = await lab.boot({ suite: 'trixie', kernel, cpus: 1 });
    await other.exec('fallocate -l $(df --output=avail -B 1 / | tail -n 1) /root/all');
    await assert.rejects(
      other.exec('false'),
      (error) => error instanceof LabError && /disk is full/.test(error.message),
    );
    await other.powerOff({ hard: true });
  });

  it('says that a guest died under a job', async () => {
    const other = await lab.boot({ suite: 'trixie', kernel, cpus: 1 });
    const job = other.exec('sleep 60');
    setTimeout(() => process.kill(other.pid, 'SIGKILL'), 200);
    await assert.rejects(job, (error) => error instanceof LabError && /SIGKILL/.test(error.message));
    await assert.rejects(other.exec('true'), LabError);
  });

  it('runs a script in a guest of its own, with the clock asked for', async () => {
    const result = await lab.run({
      suite: 'trixie',
      kernel,
      clockOffsetSeconds: -3600,
      script: 'date +%s; echo kept >/root/report; exit 7',
      collect: ['/root/report', '/root/missing'],
    });
    assert.equal(result.status, 7);
    assert.equal(result.files['/root/report']?.toString(), 'kept\n');
    assert.equal(result.files['/root/missing'], undefined);
    const behind = Date.now() / 1000 - Number(result.output);
    assert.ok(behind > 3590 && behind < 3660, `${behind} s behind`);
  });

  it('joins guests into a segment, and parts them', async () => {
    const segment = lab.segment();
    let frames = 0;
    segment.tap(() => {
      frames++;
    });
    const [one, two] = await Promise.all(
      ['10.77.0.1/24', '10.77.0.2/24'].map((address) =>
        lab.boot({ suite: 'trixie', kernel, cpus: 1, networks: [{ segment, address }] }),
      ),
    );
    assert.ok(one && two);
    const ping = 'ping -c 3 -i 0.2 -W 2 10.77.0.2';
    const heard = await one.exec(ping);
    assert.equal(heard.status, 0, heard.output);
    assert.ok(frames >= 6, `${frames} frames seen`);
    const [plug] = two.plugs;
    assert.ok(plug);
    plug.connected = false;
    assert.equal((await one.exec(ping)).status, 1);
    plug.connected = true;
    assert.equal((await one.exec(ping)).status, 0);
    await Promise.all([one.powerOff({ hard: true }), two.powerOff({ hard: true })]);
  });

  it('keeps a disk over a hard power-off: what was synced, not what was only written', async () => {
    const disk = await lab.disk('trixie', { kernel });
    const first = await lab.boot({ suite: 'trixie', kernel, disk });
    await first.exec('echo safe >/root/safe; sync; echo lost >/root/lost');
    await first.powerOff({ hard: true });
    const second = await lab.boot({ suite: 'trixie', kernel, disk });
    const files = await second.get('/root/safe', '/root/lost');
    assert.equal(files['/root/safe']?.toString(), 'safe\n');
    // ext4 allocates late: without a sync the name may be there, the content is not.
    assert.notEqual(files['/root/lost']?.toString(), 'lost\n');
    await second.exec('echo clean >/root/clean');
    await second.powerOff();
    const third = await lab.boot({ suite: 'trixie', kernel, disk });
    assert.equal((await third.get('/root/clean'))['/root/clean']?.toString(), 'clean\n');
    await third.powerOff({ hard: true });
  });

  it('leaves nothing when its process is killed', async () => {
    // Its places are for the other process.
    await lab.close();
    const scratch = await mkdtemp(join(folder, 'scratch-'));
    const index = new URL('../../build/lab/index.ts', import.meta.url).href;
    const program = `
      import { openLab } from '${index}';
      const lab = await openLab();
      const kernel = ${JSON.stringify(kernel)};
      const disk = await lab.disk('trixie', { kernel });
      const guest = await lab.boot({ suite: 'trixie', kernel, disk, cpus: 1 });
      console.log(guest.pid);
      await guest.exec('sleep 600', { timeoutSeconds: 600 });`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
      env: { ...process.env, TMPDIR: scratch },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(child.stdout, 'data');
    const pid = Number(String(line));
    assert.match(await readFile(`/proc/${pid}/cmdline`, 'latin1'), /qemu-system-x86_64|^\S+linux\0/);
    // Stopped, it cannot notice by itself (the agent misses its host, ends, and the guest panics).
    process.kill(pid, 'SIGSTOP');
    child.kill('SIGKILL');
    await once(child, 'close');
    const gone = await ends(pid);
    if (!gone) process.kill(pid, 'SIGKILL');
    assert.ok(gone, `the guest, ${pid}, outlived its parent`);
    assert.deepEqual(await readdir(scratch), []);
  });
}

/** Whether the process ends within 5 s; one that nobody has reaped yet counts as ended. */
async function ends(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 50; tries++) {
    if ((await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')) === '') return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}
