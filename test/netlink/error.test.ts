import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errnoName } from '../../src/netlink/errno.ts';
import { NetlinkError } from '../../src/netlink/error.ts';

test('errno by the name that errno(3) has', () => {
  // asm-generic/errno-base.h and errno.h
  const names = { 1: 'EPERM', 4: 'EINTR', 11: 'EAGAIN', 17: 'EEXIST', 19: 'ENODEV', 34: 'ERANGE' };
  const others = { 90: 'EMSGSIZE', 95: 'EOPNOTSUPP', 97: 'EAFNOSUPPORT', 98: 'EADDRINUSE', 105: 'ENOBUFS' };
  const notOfNode = { 53: 'EBADR', 64: 'ENONET', 85: 'ERESTART', 94: 'ESOCKTNOSUPPORT', 96: 'EPFNOSUPPORT' };
  for (const [number, name] of Object.entries({ ...names, ...others, ...notOfNode })) {
    assert.equal(errnoName(Number(number)), name);
    assert.equal(errnoName(-Number(number)), name);
  }
  assert.equal(errnoName(-999), 'errno 999');
});

test('operation, subject, errno, and the kernel’s words', () => {
  const cause = { errno: 'EOPNOTSUPP', text: 'Unknown device type' };
  const error = new NetlinkError('create', 'link wgd1', cause);
  assert.equal(error.message, 'create link wgd1: EOPNOTSUPP: Unknown device type');
  assert.equal(error.reason, 'EOPNOTSUPP: Unknown device type');
  assert.deepEqual(
    [error.operation, error.subject, error.errno, error.text],
    ['create', 'link wgd1', 'EOPNOTSUPP', 'Unknown device type'],
  );
});

test('what is to be done, where there are no words', () => {
  assert.equal(
    new NetlinkError('create', 'link wgd1', { errno: 'EPERM' }).message,
    'create link wgd1: EPERM: needs CAP_NET_ADMIN',
  );
});

test('the place in the request', () => {
  assert.equal(
    new NetlinkError('create', 'link wgd1', { errno: 'ERANGE', text: 'too long', offset: 32 }).message,
    'create link wgd1: ERANGE: too long: at byte 32 of the request',
  );
});

test('what it was done for', () => {
  const error = new NetlinkError('send', 'netlink message', { errno: 'EMSGSIZE' });
  const during = error.during('configure', 'link wgd1');
  assert.equal(during.message, 'configure link wgd1: EMSGSIZE: send netlink message');
  assert.equal(during.during('configure', 'link wgd1'), during);
});
