import * as v from 'valibot';

/**
 * Decodes input from outside with a schema.
 * @throws Error of one line that names `what`, the place in it and what was expected there; never the
 *   value that was found, which may be a secret
 */
export function decode<Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) {
    return result.output;
  }
  const [issue] = result.issues;
  const place = v.getDotPath(issue) ?? '';
  throw new Error(`${[what, place].filter(Boolean).join('.')}: ${expectation(issue)}`);
}

/** A schema's own message, or what valibot's type says; its default message would quote the value. */
function expectation(issue: v.BaseIssue<unknown>): string {
  if (issue.received === 'undefined') {
    return 'expected a value, got none';
  }
  return issue.message.startsWith('Invalid ')
    ? `expected ${issue.expected === 'never' ? 'nothing of that name' : issue.expected}`
    : issue.message;
}

/**
 * A step of a pipe that parses text by a function that gives undefined for what it does not take.
 * @param message what was expected; or a function that says what is wrong with a text, without quoting it
 */
export function parsed<Output>(
  parse: (text: string) => Output | undefined,
  message: string | ((text: string) => string),
) {
  return v.rawTransform<string, Output>(({ dataset, addIssue, NEVER }) => {
    const output = parse(dataset.value);
    if (output === undefined) {
      addIssue({ message: typeof message === 'string' ? message : message(dataset.value) });
      return NEVER;
    }
    return output;
  });
}

/**
 * Values by names that somebody chose. Valibot's record passes over the names `prototype`, `constructor` and `__proto__`
 * without a word.
 */
export function byName<Output>(schema: v.GenericSchema<unknown, Output>) {
  return v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(
      (input) => typeof input === 'object' && input !== null,
      'expected Object',
    ),
    v.transform((values) => Object.entries(values)),
    v.array(v.tuple([v.string(), schema])),
    v.transform((entries): Record<string, Output> => Object.fromEntries(entries)),
  );
}
