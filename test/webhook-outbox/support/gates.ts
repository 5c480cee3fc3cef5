import { randomBytes } from 'node:crypto';
import type pg from 'pg';

/** Where a relay's statement on a delivery can be held or refused, as a condition on OLD and NEW. */
export const STEPS = {
  claim: `OLD.state = 'ready' AND NEW.state = 'leased'`,
  renew: `OLD.state = 'leased' AND NEW.state = 'leased' AND NEW.attempts = OLD.attempts`,
  start: 'NEW.attempts > OLD.attempts',
  settle: `OLD.state = 'leased' AND NEW.state NOT IN ('leased', 'ready')`,
  retry: `OLD.state = 'leased' AND NEW.state = 'ready' AND NEW.last_outcome = 'retry'`,
  replay: `OLD.state NOT IN ('leased', 'ready') AND NEW.state = 'ready'`,
  release: `OLD.state = 'leased' AND NEW.state = 'ready' AND NEW.lease_losses = OLD.lease_losses AND NEW.last_outcome IS DISTINCT FROM 'retry'`,
} as const;

/** Where the statements that make the deliveries of one event for many endpoints can be held, as a trigger on its hand-off. */
export const FAN_OUT_STEPS = {
  claim: ['UPDATE', 'NEW.fence > OLD.fence'],
  'first step': ['UPDATE', 'OLD.endpoints_until IS NULL AND NEW.endpoints_until IS NOT NULL'],
  'later step': [
    'UPDATE',
    'OLD.endpoints_until IS NOT NULL AND NEW.endpoints_until IS DISTINCT FROM OLD.endpoints_until',
  ],
  'last step': ['DELETE', 'true'],
} as const;

/** A statement that is held in Postgres itself, so the process that sent it can be killed exactly there. */
export class StatementGate {
  private constructor(
    private readonly admin: pg.Pool,
    private readonly holder: pg.PoolClient,
  ) {}

  static async close(admin: pg.Pool, step: keyof typeof STEPS): Promise<StatementGate> {
    return StatementGate.before(admin, 'UPDATE ON baton.webhook_deliveries', STEPS[step]);
  }

  static async before(admin: pg.Pool, write: string, when = 'true'): Promise<StatementGate> {
    const holder = await admin.connect();
    await holder.query('SELECT pg_advisory_lock(4711)');
    await installTrigger(admin, when, 'PERFORM pg_advisory_xact_lock(4711);', write);
    return new StatementGate(admin, holder);
  }

  static async closeFanOut(admin: pg.Pool, step: keyof typeof FAN_OUT_STEPS): Promise<StatementGate> {
    const [write, when] = FAN_OUT_STEPS[step];
    return StatementGate.before(admin, `${write} ON baton.webhook_hand_offs`, when);
  }

  async isReached(): Promise<boolean> {
    const { rowCount } = await this.admin.query(WAITING);
    return (rowCount ?? 0) > 0;
  }

  /** Nothing that waits here ever goes on: Postgres itself would not notice that its client is dead. */
  async endHeldStatements(): Promise<void> {
    await this.admin.query(`SELECT pg_terminate_backend(pid) FROM (${WAITING}) w`);
  }

  async open(): Promise<void> {
    await dropTrigger(this.admin);
    await this.holder.query('SELECT pg_advisory_unlock(4711)');
    this.holder.release();
  }
}

/**
 * Holds whoever reads a table as the gate's role, in the middle of a statement: what it has read before stays as it was, while others go on.
 * `SET ROLE` to `role` first.
 */
export class ReadGate {
  private constructor(
    private readonly admin: pg.Pool,
    private readonly holder: pg.PoolClient,
    readonly role: string,
  ) {}

  static async close(admin: pg.Pool, table: string): Promise<ReadGate> {
    const holder = await admin.connect();
    const role = `gate_${randomBytes(8).toString('hex')}`;
    for (const statement of [
      'SELECT pg_advisory_lock(4711)',
      `CREATE FUNCTION baton.read_gate() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN true; END $$`,
      `CREATE ROLE ${role}`,
      `GRANT USAGE ON SCHEMA baton TO ${role}`,
      `GRANT ALL ON ALL TABLES IN SCHEMA baton TO ${role}`,
      `ALTER TABLE baton.${table} ENABLE ROW LEVEL SECURITY`,
      `CREATE POLICY read_gate ON baton.${table} USING (baton.read_gate())`,
    ])
      await holder.query(statement);
    return new ReadGate(admin, holder, role);
  }

  async isReached(): Promise<boolean> {
    return ((await this.admin.query(WAITING)).rowCount ?? 0) > 0;
  }

  async open(): Promise<void> {
    await this.holder.query('SELECT pg_advisory_unlock(4711)');
  }

  /** Roles are of the whole server. */
  async remove(): Promise<void> {
    await this.holder.query('SELECT pg_advisory_unlock_all()');
    await this.holder.query(`DROP OWNED BY ${this.role}`);
    await this.holder.query(`DROP ROLE ${this.role}`);
    this.holder.release();
  }
}

const WAITING = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/** Every statement at this step fails, or those with a row of which `when` is true, until the returned function is called. */
export async function refuse(
  admin: pg.Pool,
  step: keyof typeof STEPS,
  { sqlState = '53100', when = 'true' } = {},
): Promise<() => Promise<void>> {
  const body = `RAISE EXCEPTION 'refused by the test' USING ERRCODE = '${sqlState}';`;
  await installTrigger(admin, `${STEPS[step]} AND ${when}`, body);
  return () => dropTrigger(admin);
}

async function installTrigger(
  admin: pg.Pool,
  when: string,
  body: string,
  write = 'UPDATE ON baton.webhook_deliveries',
): Promise<void> {
  await admin.query(
    `CREATE OR REPLACE FUNCTION baton.test_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN coalesce(NEW, OLD); END $$`,
  );
  await admin.query(
    `CREATE TRIGGER test_gate BEFORE ${write} FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION baton.test_gate()`,
  );
}

/** The trigger's function is emptied and not only the trigger dropped: dropping waits for every statement that is held in it. */
async function dropTrigger(admin: pg.Pool): Promise<void> {
  await admin.query(
    'CREATE OR REPLACE FUNCTION baton.test_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$',
  );
}
