/**
 * The state is there and cannot be used: a file or folder of it cannot be read, or a newer driver wrote it. Nothing
 * of it was touched, so that it can be used once what keeps it from being is mended.
 */
export class StateError extends Error {
  override readonly name = 'StateError';
  readonly reason: 'unreadable' | 'newer';

  constructor(reason: StateError['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
