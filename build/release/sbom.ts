import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

interface Component {
  readonly 'bom-ref': string;
  readonly properties?: readonly { readonly name: string }[];
}

interface Bill {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/**
 * A software bill of materials in CycloneDX's JSON: what `npm sbom` says, of the packages that are in the bundle alone.
 * It has the date of the release and a number that comes of its content, where npm has those of the moment.
 */
export async function billOfMaterials(version: string, date: Date): Promise<string> {
  // As the build of the bundle has them there, `## NAME VERSION (LICENCE)`.
  const headings = (await readFile('dist/NOTICES', 'utf8')).matchAll(/^## (\S+) (\S+) \(/gm);
  const bundled = new Set([...headings].map(([, name, release]) => `${name}@${release}`));
  const { stdout } = await run('npm', ['sbom', '--sbom-format=cyclonedx'], { maxBuffer: 64 << 20 });
  const bill = JSON.parse(stdout) as Bill;
  const own = bill.metadata.component['bom-ref'];
  const components = bill.components.filter((component) => bundled.has(component['bom-ref']));
  const missing = [...bundled].filter((name) => !components.some((each) => each['bom-ref'] === name));
  if (missing.length > 0) {
    throw new Error(`npm sbom does not know what is in the bundle: ${missing.join(', ')}`);
  }
  const content = {
    ...bill,
    metadata: {
      ...bill.metadata,
      timestamp: date.toISOString(),
      component: { ...bill.metadata.component, name: 'wgdriver', type: 'application', properties: [] },
    },
    // All are bundled, so all are needed, whatever package.json calls them.
    components: components.map((component) => ({ ...component, properties: [] })),
    dependencies: bill.dependencies
      .filter(({ ref }) => ref === own || bundled.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((name) => bundled.has(name)) })),
  };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify({ ...content, serialNumber: '' }) + version)}`;
  return `${JSON.stringify({ ...content, serialNumber }, null, 2)}\n`;
}

/** A UUID of version 8 (RFC 9562, section 5.8), from a hash. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
