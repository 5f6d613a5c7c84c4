/**
 * Bytes that must never be printed. Every accidental way to text (template strings, JSON, console.log,
 * util.inspect) gives `[secret]`; `reveal()` is the one deliberate way, so it can be searched for.
 */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }

  [Symbol.for('Deno.customInspect')](): string {
    return '[secret]';
  }
}
