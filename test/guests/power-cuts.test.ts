/** A machine that loses its power in a storm of calls, its disk kept, and is switched on again. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Guest, openLab } from '../../build/lab/index.ts';
import { projectFolder } from '../../build/lab/project.ts';
import { faultFiles } from './fault-files.ts';

const cuts = Number(process.env.WGDRIVER_TEST_CUTS ?? 20);

const socket = '/run/docker/plugins/wireguard-plugin.sock';

/** Starts the driver, which does at once what it does about earlier boots. */
const startDriver = `
  cd ${projectFolder}
  setsid dist/wgdriver serve --backend netlink </dev/null >>/var/log/wgdriver.log 2>&1 &
  until grep -q ' serving ' /var/log/wgdriver.log; do kill -0 $! || break; sleep 0.1; done
  cat /var/log/wgdriver.log
  grep -q ' serving ' /var/log/wgdriver.log &&
  ! grep -q 'set aside' /var/log/wgdriver.log`;

const lab = await openLab();
after(() => lab.close());

test(`${cuts} power cuts in a storm of calls: what was answered is there, and all of it can be read`, async (t) => {
  const disk = await lab.disk('trixie');
  const created = new Set<string>();
  const uncertain = new Set<string>();
  let guest = await lab.boot({ suite: 'trixie', disk, files: faultFiles });
  // The driver's own files are to outlive the cuts.
  await exec(guest, `sync; ${startDriver}`);
  for (let cut = 1; cut <= cuts; cut++) {
    const count = await stormUntilCut(guest, `s${cut}`, created, uncertain);
    t.diagnostic(`cut ${cut} after ${count} lines; ${created.size} networks are to be there`);
    guest = await lab.boot({ suite: 'trixie', disk });
    const log = await exec(guest, `rm -f /var/log/wgdriver.log; ${startDriver}`);
    const list = await exec(guest, 'ls /var/lib/wgdriver/networks');
    const there = new Set(list.split('\n').map((name) => name.replace(/\.json$/, '')));
    assert.deepEqual(
      [...created].filter((id) => !there.has(id)),
      [],
    );
    assert.deepEqual(
      [...there].filter((id) => id !== '' && !created.has(id) && !uncertain.has(id)),
      [],
    );
    for (const id of uncertain) {
      if (there.has(id)) {
        created.add(id);
      }
    }
    uncertain.clear();
    // Endpoints were of the boot before; and what was written when the power went is cleared away.
    const left = await exec(guest, 'cd /var/lib/wgdriver; find boots -type f');
    assert.equal(left, '', log);
    assert.doesNotMatch(list, /\.json\./);
  }
  await guest.powerOff({ hard: true });
});

/** @returns how many lines the storm had told */
async function stormUntilCut(
  guest: Guest,
  name: string,
  created: Set<string>,
  uncertain: Set<string>,
): Promise<number> {
  let told = '';
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const storm = guest.exec(`cd ${projectFolder}; node test/support/faults/storm.ts ${socket} ${name}`, {
    timeoutSeconds: 600,
    onOutput(chunk) {
      told += chunk;
      begin();
    },
  });
  storm.catch(() => {});
  await Promise.race([begun, storm.then(({ output }) => assert.fail(output))]);
  await sleep(1000 + Math.random() * 8000);
  await guest.powerOff({ hard: true });
  const lines = told.split('\n').slice(0, -1);
  for (const line of lines) {
    const [what, id = ''] = line.split(' ');
    if (what === 'created') {
      created.add(id);
    } else if (what === 'deleting') {
      created.delete(id);
      uncertain.add(id);
    } else if (what === 'deleted') {
      uncertain.delete(id);
    } else {
      assert.fail(told);
    }
  }
  // What each worker was asking for when it was cut short.
  for (let worker = 0; worker < 4; worker++) {
    const last = lines.filter((line) => line.includes(` ${name}-${worker}-`)).at(-1);
    const number = Number(/-(\d+)$/.exec(last ?? '')?.[1] ?? -1);
    // Its last one, whose line may have been on its way, and the one or two behind.
    for (const next of [number, number + 1, number + 2]) {
      const id = `${name}-${worker}-${next}`;
      if (!created.has(id) && !lines.includes(`deleted ${id}`)) {
        uncertain.add(id);
      }
    }
  }
  return lines.length;
}

async function exec(guest: Guest, script: string): Promise<string> {
  const { status, output } = await guest.exec(script, { timeoutSeconds: 120 });
  assert.equal(status, 0, output);
  return output.trim();
}
