export { packageFiles } from './debs.ts';
export type { Disk } from './disk.ts';
export { HostError, JobTimeout, LabError } from './errors.ts';
export type { ExecOptions, ExecResult, Guest, GuestOptions, Kernel, Network } from './guest.ts';
export { installLab, labObstacle, missingHostPackages } from './host.ts';
export { type Lab, type LabOptions, openLab, type RunOptions, type RunResult } from './lab.ts';
export { SUITES, type Suite } from './packages.ts';
export type { Plug, Segment } from './segment.ts';
export type { GuestFiles } from './tarball.ts';
