import { field } from '../describe-error.js';

/** What Baton needs of Postgres: one statement at a time, on a pool or on one connection. Shaped like `pg`. */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryOutcome<Row>>;
}

export interface QueryOutcome<Row> {
  readonly rows: Row[];
  /** Rows returned or changed; 0 where the driver does not say. */
  readonly rowCount: number;
}

/**
 * Five capitals or digits with at least one digit, which every code of Postgres has. `EPIPE` and `EPERM` of the system have none, and no
 * class of Postgres begins with the E of `E2BIG`.
 */
const SQL_STATE = /^(?=.*\d)[0-9A-DF-Z][0-9A-Z]{4}$/;

const MAX_DEPTH = 5;

/** The five-character SQLSTATE behind an error of `pg` or of TypeORM, which wraps it as `driverError`. */
export function sqlState(error: unknown): string | undefined {
  return sqlStateWithin(error, MAX_DEPTH);
}

/** Bounded: causes may form a cycle. */
function sqlStateWithin(error: unknown, depth: number): string | undefined {
  if (depth === 0 || typeof error !== 'object' || error === null) return undefined;
  const code = field(error, 'code');
  if (typeof code === 'string' && SQL_STATE.test(code)) return code;
  return sqlStateWithin(field(error, 'driverError'), depth - 1) ?? sqlStateWithin(field(error, 'cause'), depth - 1);
}

/** An identifier in double quotes. Names come from options, never from requests. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
