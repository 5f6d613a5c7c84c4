import type { Metafile } from 'esbuild';

export function noticesOf(metafile: Metafile): string;
export function librariesOf(metafile: Metafile): string[];
