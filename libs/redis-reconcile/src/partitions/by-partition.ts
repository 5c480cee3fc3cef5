/** Items by the index that each belongs to, in their order. Pure. */
export function byPartition<T>(items: readonly T[], indexOf: (item: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const index = indexOf(item);
    const group = groups.get(index);
    if (group === undefined) groups.set(index, [item]);
    else group.push(item);
  }
  return groups;
}
