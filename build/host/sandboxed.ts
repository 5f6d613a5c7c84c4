import { runInSandbox } from './sandbox.ts';

// node build/host/sandboxed.ts PROGRAM [ARGUMENT…]: runs a program in a sandbox, for tests, demo and bench alike.
const [file = 'sh', ...args] = process.argv.slice(2);
process.exitCode = await runInSandbox(file, args);
