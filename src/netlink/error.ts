/** Why the kernel, or a codec, refused. */
export interface NetlinkCause {
  /** By name, as in errno(3); a number as `errno 999` if it has none here. Absent for bytes that cannot be read. */
  readonly errno?: string | undefined;
  /** The kernel's own words, from the extended ACK, or ours. */
  readonly text?: string | undefined;
  /** Of the attribute that was refused, in bytes from the start of the request. */
  readonly offset?: number | undefined;
}

/** `create link wgd1a2b3c: EOPNOTSUPP: Unknown device type`. Holds no payload: a key may be in it. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** What was done: `create`, `receive`, `encode`, `decode`. */
  readonly operation: string;
  /** To what: `link wgd1a2b3c`, `socket`, `nlattr`. */
  readonly subject: string;
  readonly errno: string | undefined;
  /** The kernel's own words, if it had any. */
  readonly text: string | undefined;
  readonly offset: number | undefined;
  /** The message without operation and subject. */
  readonly reason: string;

  constructor(operation: string, subject: string, { errno, text, offset }: NetlinkCause) {
    const words = text ?? (errno === 'EPERM' ? `needs ${capabilityFor(subject)}` : undefined);
    const place = offset === undefined ? undefined : `at byte ${offset} of the request`;
    const reason = [errno, words, place].filter(Boolean).join(': ');
    super(`${operation} ${subject}: ${reason}`);
    this.operation = operation;
    this.subject = subject;
    this.errno = errno;
    this.text = text;
    this.offset = offset;
    this.reason = reason;
  }

  /** The same, said of what it was done for: `configure link wgd1a2b3c: EMSGSIZE: send netlink message`. */
  during(operation: string, subject: string): NetlinkError {
    if (operation === this.operation && subject === this.subject) {
      return this;
    }
    const text = [`${this.operation} ${this.subject}`, this.text].filter(Boolean).join(': ');
    return new NetlinkError(operation, subject, { errno: this.errno, text, offset: this.offset });
  }
}

/** capabilities(7) */
function capabilityFor(subject: string): string {
  switch (subject) {
    case 'network namespace':
      return 'CAP_SYS_ADMIN';
    case 'network namespaces':
      return 'CAP_NET_BROADCAST';
    default:
      return 'CAP_NET_ADMIN';
  }
}

/** Bytes that came, and are not what they should be. */
export function malformed(subject: string, text: string): NetlinkError {
  return new NetlinkError('decode', subject, { text });
}
