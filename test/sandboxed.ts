import { runInSandbox } from './host/sandbox.ts';

// node test/sandboxed.ts PROGRAM [ARGUMENT…]: runs a program in a sandbox, for tests, demo and bench alike.
const [file = 'sh', ...args] = process.argv.slice(2);
process.exitCode = await runInSandbox(file, args);
