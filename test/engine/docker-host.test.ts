import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { engineSocket } from '../../src/engine/docker-host.ts';

test('DOCKER_HOST of a unix socket is followed, any other refused without what may be a password', () => {
  assert.equal(engineSocket({}), '/var/run/docker.sock');
  assert.equal(engineSocket({ DOCKER_HOST: '' }), '/var/run/docker.sock');
  assert.equal(
    engineSocket({ DOCKER_HOST: 'unix:///run/user/1000/docker.sock' }),
    '/run/user/1000/docker.sock',
  );
  for (const [DOCKER_HOST, scheme] of [
    ['tcp://192.0.2.1:2375', 'tcp://…'],
    ['ssh://root:hunter2@192.0.2.1', 'ssh://…'],
    ['unix://', 'unix://…'],
    ['192.0.2.1', 'no unix:///PATH…'],
  ] as const) {
    assert.throws(
      () => engineSocket({ DOCKER_HOST }),
      ({ message }: Error) => {
        assert(
          message.startsWith(
            `DOCKER_HOST has ${scheme}, but wgdriver talks to Docker only over a unix socket`,
          ),
        );
        return !message.includes('hunter2') && message.includes('--docker-socket PATH');
      },
    );
  }
});

test('Docker’s context is followed or refused: that of DOCKER_CONTEXT, else the configuration’s; DOCKER_HOST wins', (t) => {
  const HOME = mkdtempSync(join(tmpdir(), 'wgdriver-docker-'));
  t.after(() => rmSync(HOME, { recursive: true }));
  const context = (name: string, Host: string) => {
    const digest = createHash('sha256').update(name).digest('hex');
    const folder = join(HOME, '.docker', 'contexts', 'meta', digest);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'meta.json'), JSON.stringify({ Name: name, Endpoints: { docker: { Host } } }));
  };
  context('rootless', 'unix:///run/user/1000/docker.sock');
  context('far', 'ssh://192.0.2.1');
  const current = (name: string) =>
    writeFileSync(join(HOME, '.docker', 'config.json'), JSON.stringify({ currentContext: name }));

  assert.equal(engineSocket({ HOME, DOCKER_CONTEXT: 'rootless' }), '/run/user/1000/docker.sock');
  assert.throws(() => engineSocket({ HOME, DOCKER_CONTEXT: 'far' }), /^Error: Docker context far has ssh:/);
  assert.throws(
    () => engineSocket({ HOME, DOCKER_CONTEXT: 'none' }),
    /^Error: Docker context none cannot be read/,
  );
  assert.equal(engineSocket({ HOME }), '/var/run/docker.sock');
  current('rootless');
  assert.equal(engineSocket({ HOME }), '/run/user/1000/docker.sock');
  assert.equal(engineSocket({ DOCKER_CONFIG: join(HOME, '.docker') }), '/run/user/1000/docker.sock');
  assert.equal(engineSocket({ HOME, DOCKER_CONTEXT: 'default' }), '/var/run/docker.sock');
  current('far');
  assert.throws(() => engineSocket({ HOME }), /^Error: Docker context far has ssh:/);
  assert.equal(engineSocket({ HOME, DOCKER_HOST: 'unix:///run/d.sock' }), '/run/d.sock');
  writeFileSync(join(HOME, '.docker', 'config.json'), 'none');
  assert.equal(engineSocket({ HOME }), '/var/run/docker.sock');
});
