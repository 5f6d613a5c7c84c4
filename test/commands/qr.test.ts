import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import { encode } from 'uqr';
import { qrAsPng, qrAsSvg, qrForTerminal } from '../../src/commands/qr.ts';
import { scanned, scannedSvg, scannedTerminal } from '../support/scanned.ts';

const text = `[Interface]\nPrivateKey = ${'A'.repeat(43)}=\nAddress = 10.0.0.2/32\n`;
const code = encode(text, { border: 4 });

test('a PNG’s pixels are the modules of the code, dark ones black, with four light ones around', () => {
  const png = qrAsPng(text);
  assert.equal(png.subarray(0, 8).toString('latin1'), '\u0089PNG\r\n\u001a\n');
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(body));
    chunks.set(body.subarray(0, 4).toString('latin1'), body.subarray(4));
    at += 12 + length;
  }
  assert.deepEqual([...chunks.keys()], ['IHDR', 'IDAT', 'IEND']);
  const header = chunks.get('IHDR') ?? Buffer.alloc(0);
  const width = header.readUInt32BE(0);
  assert.equal(width, code.size * 8);
  assert.deepEqual([...header.subarray(4)], [...header.subarray(0, 4), 1, 0, 0, 0, 0]);
  const rows = inflateSync(chunks.get('IDAT') ?? Buffer.alloc(0));
  const rowBytes = 1 + width / 8;
  assert.equal(rows.length, rowBytes * width);
  for (let y = 0; y < code.size; y += 1) {
    for (let x = 0; x < code.size; x += 1) {
      const isDark = code.data[y]?.[x];
      assert.equal(rows[y * 8 * rowBytes + 1 + x], isDark ? 0 : 0xff, `${x}, ${y}`);
    }
  }
  assert.equal(
    scanned((x, y) => ((rows[y * rowBytes + 1 + (x >> 3)] ?? 0) & (0x80 >> (x & 7))) === 0, width),
    text,
  );
});

test('on a terminal two rows of modules are one line, dark on light', () => {
  const terminal = encode(text, { border: 2 });
  const lines = qrForTerminal(text).trimEnd().split('\n');
  assert.equal(lines.length, Math.ceil(terminal.size / 2));
  for (const [row, line] of lines.entries()) {
    const [before, after] = ['\u001b[30;107m', '\u001b[0m'];
    assert(line.startsWith(before) && line.endsWith(after), line);
    const drawn = [...line.slice(before.length, -after.length)];
    const [upper, lower] = ['█▀', '█▄'].map((dark) => drawn.map((character) => dark.includes(character)));
    assert.deepEqual(upper, terminal.data[2 * row]);
    assert.deepEqual(lower, terminal.data[2 * row + 1] ?? new Array(terminal.size).fill(false));
  }
  assert.equal(scannedTerminal(qrForTerminal(text)), text);
});

test('an SVG', () => {
  assert.match(qrAsSvg(text), /^<svg /);
  assert.equal(scannedSvg(qrAsSvg(text)), text);
});

test('what is too long for any code', () => {
  assert.match(qrForTerminal('x'.repeat(2953)), /█/);
  for (const draw of [qrForTerminal, qrAsSvg, qrAsPng]) {
    assert.throws(() => draw('x'.repeat(2954)), /has 2954 bytes, and a QR code holds at most 2953/);
  }
});
