import { Buffer } from 'node:buffer';
import { deflateSync } from 'node:zlib';
import { encode, type QrCodeGenerateResult, renderSVG } from 'uqr';

/** Modules of light space around a code (ISO/IEC 18004). */
const quietZone = 4;

/** Bytes of the largest code (version 40, level L). */
const maxBytes = 2953;

function coded(text: string, border: number): QrCodeGenerateResult {
  refuseTooLong(text);
  return encode(text, { border });
}

/** @throws Error for what no code can hold */
function refuseTooLong(text: string): void {
  const length = Buffer.byteLength(text);
  if (length > maxBytes) {
    throw new Error(
      `the configuration has ${length} bytes, and a QR code holds at most ${maxBytes}: give fewer prefixes with ` +
        '--allowed-ips, or use --output',
    );
  }
}

/** The code in half blocks, dark on light whatever the terminal's own colours are. */
export function qrForTerminal(text: string): string {
  const { data, size } = coded(text, 2);
  let drawn = '';
  for (let y = 0; y < size; y += 2) {
    const line = (data[y] ?? []).map((upper, x) => {
      const lower = data[y + 1]?.[x] ?? false;
      return upper ? (lower ? '█' : '▀') : lower ? '▄' : ' ';
    });
    drawn += `\u001b[30;107m${line.join('')}\u001b[0m\n`;
  }
  return drawn;
}

export function qrAsSvg(text: string): string {
  refuseTooLong(text);
  return renderSVG(text, { border: quietZone });
}

/** A PNG (RFC 2083) of one bit a pixel. */
export function qrAsPng(text: string): Buffer {
  const { data, size } = coded(text, quietZone);
  const scale = 8;
  const width = size * scale;
  const rows = data.flatMap((modules) => {
    // With a scale of 8 a module is a byte of the row; 1 is light. The byte before says that the row is not filtered.
    const row = Buffer.from([0, ...modules.map((isDark) => (isDark ? 0x00 : 0xff))]);
    return new Array<Buffer>(scale).fill(row);
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(width, 4);
  // One bit, greyscale.
  header[8] = 1;
  return Buffer.concat([
    Buffer.from('\u0089PNG\r\n\u001a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(rows))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/** The cyclic redundancy check of RFC 2083 section 3.4; `node:zlib` has it only from Node 20.15 on. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
    }
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
