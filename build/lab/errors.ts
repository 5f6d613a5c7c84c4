/** The lab failed, not the job: a guest died, hung or did not boot, an image could not be built. */
export class LabError extends Error {
  override name = 'LabError';
}

/** This machine cannot host the lab; the message says what it lacks. Tests skip on it. */
export class HostError extends Error {
  override name = 'HostError';
}

/** A job ran longer than it was given; it and its process group were killed, the guest lives on. */
export class JobTimeout extends Error {
  override name = 'JobTimeout';
  /** What the job had printed until then. */
  readonly output: string;

  constructor(seconds: number, output: string) {
    super(`job still running after ${seconds} s; last output:\n${output.slice(-2000)}`);
    this.output = output;
  }
}
