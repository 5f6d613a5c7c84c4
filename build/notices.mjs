// The notices that the licences of bundled libraries ask for.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** All of them ask for no more than that their text goes along. */
const knownLicenses = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD'];

/** @returns the text that goes along with a bundle */
export function noticesOf(metafile) {
  const sections = librariesOf(metafile).map((name) => {
    const folder = join('node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    if (!knownLicenses.includes(license)) {
      throw new Error(
        `${folder}: the licence ${license} is not among ${knownLicenses.join(', ')}: read it first`,
      );
    }
    return `## ${name} ${version} (${license})\n\n${licenseTextOf(folder)}\n`;
  });
  return `# wgdriver (MIT)\n\n${text('LICENSE')}\n\nIt holds parts of these libraries:\n\n${sections.join('\n')}`;
}

/** @returns the names of the libraries of which anything is in a bundle, by esbuild’s account of it */
export function librariesOf({ outputs }) {
  const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
  const names = inputs.map((input) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

function licenseTextOf(folder) {
  const file = readdirSync(folder).find((name) => /^licen[cs]e(\.|$)/i.test(name));
  if (file !== undefined) {
    return text(join(folder, file));
  }
  // imurmurhash has it at the end of its README.
  const readme = join(folder, 'README.md');
  const [, license] = (existsSync(readme) ? text(readme) : '').split(
    /^(?=License\b.*\n-+\n(?:.*\n)*Copyright)/m,
  );
  if (license === undefined) {
    throw new Error(`${folder}: no text of its licence is found`);
  }
  return license;
}

function text(path) {
  return readFileSync(path, 'utf8').replaceAll('\r\n', '\n').trim();
}
