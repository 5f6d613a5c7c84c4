import { styleText } from 'node:util';
import { examine } from '../doctor/doctor.ts';
import type { Finding, Status } from '../doctor/finding.ts';
import { examinePath, type PathOptions } from '../doctor/path-mtu.ts';
import { createEngine } from '../engine/client.ts';
import { linkReader } from '../links/select.ts';
import { parseAddress } from '../wireguard/address.ts';
import { strictCommand, UsageError } from './command.ts';
import { engineFault, engineOption, engineSocketOf } from './host-options.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';
import { columnsOf, hasColours } from './terminal.ts';
import { wrapped } from './wrapped.ts';

export default strictCommand({
  meta: {
    name: 'doctor',
    description: 'Check whether this host can put containers on a WireGuard network, and say what to fix',
  },
  args: {
    ...pluginOptions,
    ...engineOption,
    mtu: {
      type: 'string',
      valueHint: 'CONTAINER',
      description: 'Only find the largest packet that fits through this container’s tunnel',
    },
    ping: {
      type: 'string',
      valueHint: 'ADDRESS',
      description: 'With --mtu: the address behind the tunnel to ping (Default: the hub)',
    },
    json: { type: 'boolean', description: 'Print JSON, for programs' },
  },
  maxPositionals: 0,
  async run(args) {
    if (process.platform !== 'linux') {
      throw new Error('doctor checks a Linux host: run it where the Docker engine runs');
    }
    const findings: Finding[] = [];
    for await (const finding of findingsOf(args)) {
      findings.push(finding);
      if (!args.json) {
        process.stdout.write(lineOf(finding));
      }
    }
    const ok = count(findings, 'fail') === 0;
    process.stdout.write(
      args.json ? `${JSON.stringify({ ok, checks: findings }, null, 2)}\n` : summary(findings),
    );
    if (!ok) {
      process.exitCode = 1;
    }
  },
});

function findingsOf(args: {
  readonly name: string;
  readonly socket?: string | undefined;
  readonly 'docker-socket'?: string | undefined;
  readonly mtu?: string | undefined;
  readonly ping?: string | undefined;
}): AsyncGenerator<Finding> {
  const engineSocket = engineSocketOf(args);
  const target = args.ping === undefined ? undefined : parseAddress(args.ping);
  if (args.ping !== undefined && (target === undefined || args.mtu === undefined)) {
    throw new UsageError('option --ping: expected an IP address, together with --mtu CONTAINER');
  }
  return args.mtu === undefined
    ? examine({ driver: args.name, pluginSocket: pluginSocketOf(args), engineSocket })
    : pathFindings(engineSocket, { container: args.mtu, driver: args.name, target });
}

async function* pathFindings(engineSocket: string, options: PathOptions): AsyncGenerator<Finding> {
  try {
    yield* examinePath(createEngine(engineSocket), linkReader(), options);
  } catch (error) {
    throw engineFault(engineSocket, error);
  }
}

/** As wide as the longest name of a check. */
const nameWidth = 19;

const styles = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'gray' } as const;

function lineOf({ status, name, cause, fix }: Finding): string {
  const indentation = nameWidth + 8;
  const columns = (columnsOf(process.stdout) ?? Number.POSITIVE_INFINITY) - indentation;
  const lines = [cause, ...(fix === undefined ? [] : [`fix: ${fix}`])].flatMap((text) =>
    wrapped(text, columns),
  );
  return `${coloured(status)}  ${name.padEnd(nameWidth)}  ${lines.join(`\n${' '.repeat(indentation)}`)}\n`;
}

function summary(findings: readonly Finding[]): string {
  const [passed, warned, failed, skipped] = (['pass', 'warn', 'fail', 'skip'] as const).map((status) =>
    count(findings, status),
  );
  return `${passed} passed, ${warned} warned, ${failed} failed, ${skipped} skipped\n`;
}

function count(findings: readonly Finding[], status: Status): number {
  return findings.filter((finding) => finding.status === status).length;
}

function coloured(status: Status): string {
  // Node's own idea of when to colour differs between versions.
  return hasColours(process.stdout) ? styleText(styles[status], status, { validateStream: false }) : status;
}
