import jsQR from 'jsqr';

/** What a decoder of somebody else's makes of light and dark; each module is some pixels. */
export function scanned(isDark: (x: number, y: number) => boolean, width: number): string | undefined {
  const pixels = new Uint8ClampedArray(4 * width * width);
  for (let i = 0; i < width * width; i += 1) {
    const light = isDark(i % width, Math.floor(i / width)) ? 0 : 255;
    pixels.set([light, light, light, 255], 4 * i);
  }
  return jsQR.default(pixels, width, width)?.data;
}

/** The same of half blocks as a terminal shows them, without its colours. */
export function scannedTerminal(text: string): string | undefined {
  const shown = text
    .split('\n')
    .map((line) => [...line.replaceAll('\u001b[30;107m', '').replaceAll('\u001b[0m', '')])
    .filter((line) => line.length > 0)
    .flatMap((line) => ['█▀', '█▄'].map((dark) => line.map((character) => dark.includes(character))));
  return scanned((x, y) => shown[y >> 2]?.[x >> 2] ?? false, 4 * (shown[0]?.length ?? 0));
}

/** The same of dark squares of ten units. */
export function scannedSvg(svg: string): string | undefined {
  const width = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]);
  const dark = new Set([...svg.matchAll(/M(\d+),(\d+)h10v10h-10z/g)].map(([, x, y]) => `${x},${y}`));
  const at = (pixel: number) => pixel - (pixel % 10);
  return scanned((x, y) => dark.has(`${at(x)},${at(y)}`), width);
}
