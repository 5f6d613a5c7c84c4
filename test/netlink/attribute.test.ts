import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AttributeTable, decodeAttributes, encodeAttributes, nested } from '../../src/netlink/attribute.ts';
import { cString, readCString, readU32, u16, u32 } from '../../src/netlink/bytes.ts';
import { assertSurvivesAnyBytes } from '../support/netlink/malformed.ts';
import { newLinkWithMtu } from '../support/netlink/vectors.ts';

/** Behind nlmsghdr and ifinfomsg. */
const captured = newLinkWithMtu.slice(32);
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;

const anyAttributes = fc.array(
  fc.record({ type: fc.nat(0x3fff), value: fc.uint8Array({ maxLength: 20 }) }, { noNullPrototype: true }),
  {
    maxLength: 8,
  },
);

test('attributes of `ip`, one inside another, and back', () => {
  const attributes = decodeAttributes(captured);
  assert.deepEqual(
    attributes.map(({ type }) => type),
    [IFLA_MTU, IFLA_IFNAME, IFLA_LINKINFO],
  );
  const table = new AttributeTable(captured);
  assert.equal(table.get({ IFLA_MTU }, readU32, 4), 1420);
  assert.equal(table.get({ IFLA_IFNAME }, readCString), 'wgt0');
  const inner = table.get({ IFLA_LINKINFO }, (value) => new AttributeTable(value));
  assert.equal(inner?.get({ IFLA_INFO_KIND }, readCString), 'wireguard');
  assert.deepEqual(encodeAttributes(attributes), captured);
});

test('padding: each begins at a multiple of 4 bytes', () => {
  const bytes = encodeAttributes([
    { type: 1, value: Uint8Array.of(7) },
    { type: 2, value: u16(0x0102) },
  ]);
  assert.deepEqual([...bytes], [5, 0, 1, 0, 7, 0, 0, 0, 6, 0, 2, 0, 2, 1, 0, 0]);
});

test('nested attributes are marked (NLA_F_NESTED), and read without the mark', () => {
  const bytes = encodeAttributes([nested(8, [{ type: 1, value: u32(5) }])]);
  assert.deepEqual([...bytes], [12, 0, 8, 0x80, 8, 0, 1, 0, 5, 0, 0, 0]);
  const [outer] = decodeAttributes(bytes);
  assert.equal(outer?.type, 8);
  assert.deepEqual(decodeAttributes(outer?.value ?? u32(0)), [{ type: 1, value: u32(5) }]);
});

test('decoding is the inverse of encoding, nested too', () => {
  fc.assert(
    fc.property(anyAttributes, fc.nat(0x3fff), (attributes, type) => {
      assert.deepEqual(decodeAttributes(encodeAttributes(attributes)), attributes);
      const [outer] = decodeAttributes(encodeAttributes([nested(type, attributes)]));
      assert.equal(outer?.type, type);
      assert.deepEqual(decodeAttributes(outer?.value ?? u32(0)), attributes);
    }),
  );
});

test('the last of a type counts, and an absent one is undefined', () => {
  const table = new AttributeTable(
    encodeAttributes([
      { type: IFLA_MTU, value: u32(1) },
      { type: IFLA_MTU, value: u32(2) },
    ]),
  );
  assert.equal(table.get({ IFLA_MTU }, readU32, 4), 2);
  assert.equal(table.get({ IFLA_IFNAME }, readCString), undefined);
});

test('errors name the attribute, and what was expected', () => {
  const table = new AttributeTable(encodeAttributes([{ type: IFLA_MTU, value: u16(1) }]));
  assert.throws(() => table.get({ IFLA_MTU }, readU32, 4), {
    name: 'NetlinkError',
    message: 'decode IFLA_MTU: expected 4 bytes, got 2',
  });
  assert.throws(() => decodeAttributes(Uint8Array.of(8, 0, 1)), /nlattr: expected 4 bytes, got 3/);
  assert.throws(() => decodeAttributes(Uint8Array.of(8, 0, 1, 0, 9)), /a length from 4 to 5, got 8/);
  assert.throws(() => decodeAttributes(new Uint8Array(4)), /a length from 4 to 4, got 0/);
});

test('a value too long for its length field is refused', () => {
  assert.throws(() => encodeAttributes([{ type: 1, value: new Uint8Array(0x1_0000) }]), {
    name: 'NetlinkError',
    message: 'encode nlattr: expected at most 65531 bytes, got 65536',
  });
  assert.equal(encodeAttributes([{ type: 1, value: new Uint8Array(0xfffb) }]).length, 0x1_0000);
});

test('text ends at its zero, if it has one, and nothing of it is left out', () => {
  assert.equal(readCString(cString('\uFEFFwg0')), '\uFEFFwg0');
  assert.equal(readCString(cString('wg0')), 'wg0');
  assert.equal(readCString(cString('wg0').slice(0, -1)), 'wg0');
  assert.equal(readCString(new Uint8Array()), '');
});

test('any bytes are attributes or a NetlinkError', () => {
  assertSurvivesAnyBytes(decodeAttributes, captured);
});
