/** Things by what `key` says of them, in the order in which they come. */
export function groupBy<T, K>(things: readonly T[], key: (thing: T) => K): Map<K, T[]> {
  const found = new Map<K, T[]>()
  for (const thing of things) {
    const of = key(thing)
    const group = found.get(of)
    if (group) group.push(thing)
    else found.set(of, [thing])
  }
  return found
}
