/** `value[name]` of a parsed JSON value; `undefined` where there is none, or where it is null. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name] ?? undefined;
}
