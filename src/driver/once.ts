/** Makes a function that computes something once for each key, such as what all containers of a network have in common. */
export function oncePerKey<Key, Value>(compute: (key: Key) => Value): (key: Key) => Value {
  const values = new Map<Key, { readonly value: Value }>();
  return (key) => {
    const known = values.get(key) ?? { value: compute(key) };
    values.set(key, known);
    return known.value;
  };
}

/** Makes a function that gives a result again for as long as it is no older than that; who asks meanwhile waits for the same one. */
export function keptFor<Value>(
  ms: number,
  compute: () => Promise<Value>,
  now: () => number = () => performance.now(),
): () => Promise<Value> {
  let kept: { readonly value: Promise<Value>; untilMs: number } | undefined;
  return () => {
    if (kept !== undefined && now() < kept.untilMs) {
      return kept.value;
    }
    const made = { value: compute(), untilMs: Number.POSITIVE_INFINITY };
    made.value.then(
      () => {
        made.untilMs = now() + ms;
      },
      () => {
        made.untilMs = Number.NEGATIVE_INFINITY;
      },
    );
    kept = made;
    return made.value;
  };
}
