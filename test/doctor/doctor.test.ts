import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examine } from '../../src/doctor/doctor.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

async function findings(pluginSocket: string, engineSocket: string): Promise<Map<string, Finding>> {
  const found = new Map<string, Finding>();
  for await (const finding of examine({ driver: 'wireguard-plugin', pluginSocket, engineSocket })) {
    assert.ok(!found.has(finding.name), finding.name);
    found.set(finding.name, finding);
  }
  return found;
}

test('doctor: an engine that is not there is told of once', async () => {
  const found = await findings('/nowhere/p.sock', '/nowhere/docker.sock');
  assert.equal(found.get('plugin')?.status, 'fail');
  assert.equal(found.get('engine')?.status, 'fail');
  for (const name of ['seeds', 'ip-range', 'default-route', 'dns', 'handshakes']) {
    assert.equal(found.get(name)?.status, 'skip', name);
  }
});

test('doctor: a host with an engine and a driver, before the first network', async (t) => {
  const plugin = await serveUnix(t, answers({ '/Plugin.Activate': { Implements: ['NetworkDriver'] } }));
  const engine = await serveUnix(
    t,
    answers({ '/version': { Version: '28.5.2' }, '/info': {}, '/networks': [] }),
  );
  const found = await findings(plugin.socketPath, engine.socketPath);
  for (const name of ['plugin', 'engine', 'seeds', 'ip-range', 'default-route', 'dns', 'handshakes']) {
    assert.equal(found.get(name)?.status, 'pass', name);
  }
  assert.equal(found.get('dns')?.cause, 'no network is on wireguard-plugin yet');
});
