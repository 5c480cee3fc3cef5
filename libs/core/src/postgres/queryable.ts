/** What Baton needs of Postgres: one statement at a time, on a pool or on one connection. Shaped like `pg`. */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryOutcome<Row>>;
}

export interface QueryOutcome<Row> {
  readonly rows: Row[];
  /** Rows returned or changed; 0 where the driver does not say. */
  readonly rowCount: number;
}

/** The five-character SQLSTATE behind an error of `pg` or of TypeORM, which wraps it as `driverError`. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, driverError, cause } = error as { code?: unknown; driverError?: unknown; cause?: unknown };
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  return sqlState(driverError) ?? sqlState(cause);
}

/** An identifier in double quotes. Names come from options, never from requests. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
