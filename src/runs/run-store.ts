import { quoteIdentifier } from '@nest-baton/core';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import type { ClaimedRun, RunState, RunStatus } from './run.js';
import { RUNS_OPTIONS, type RunsOptions } from './runs.options.js';

export interface NewRun {
  readonly id: string;
  readonly input: Buffer;
  readonly idempotencyKey: string | undefined;
  /** SHA-256 of what the request asked for: tells a repeated request from another one under the same key. */
  readonly requestHash: Buffer;
}

export interface AcceptedRun {
  readonly id: string;
  readonly state: RunState;
  readonly requestHash: Buffer;
}

/** A run that has not moved for a while. */
export interface StalledRun {
  readonly id: string;
  readonly handoffId: string | null;
}

/** Every statement on the table of the runs, one a method. Fences are compared in the statement that writes, never before it. */
@Injectable()
export class RunStore {
  private readonly table: string;

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    @Inject(RUNS_OPTIONS) options: RunsOptions,
  ) {
    this.table = `${quoteIdentifier(options.schema)}.runs`;
  }

  /**
   * Inserts and commits the run, or returns the one that the same idempotency key made before. Two requests with one key at the same
   * moment: the unique index makes the second wait for the first and find it.
   */
  async accept({ id, input, idempotencyKey, requestHash }: NewRun): Promise<AcceptedRun> {
    const inserted: unknown[] = await this.dataSource.query(
      `INSERT INTO ${this.table} (id, input, idempotency_key, request_hash) VALUES ($1, $2, $3, $4)
       ON CONFLICT (idempotency_key) DO NOTHING RETURNING id`,
      [id, input, idempotencyKey ?? null, requestHash],
    );
    if (inserted.length > 0) return { id, state: 'accepted', requestHash };
    const earlier = await this.byIdempotencyKey(idempotencyKey ?? '');
    if (earlier === undefined) throw new Error(`run ${id} was neither stored nor found under its idempotency key`);
    return earlier;
  }

  async byIdempotencyKey(key: string): Promise<AcceptedRun | undefined> {
    const [run] = await this.dataSource.query<AcceptedRun[]>(
      `SELECT id, state, request_hash AS "requestHash" FROM ${this.table} WHERE idempotency_key = $1`,
      [key],
    );
    return run;
  }

  async status(id: string): Promise<RunStatus | undefined> {
    const [row] = await this.dataSource.query<RunStatus[]>(
      `SELECT id, state, attempt, worker, indexed_to::float8 AS "indexedTo", failure FROM ${this.table} WHERE id = $1`,
      [id],
    );
    return row;
  }

  /**
   * State and fence as they are now, for the owner whose write found no row. Inside a transaction give its manager: a second connection, asked for
   * while the first is held, can deadlock on the pool.
   */
  async fenceOf(
    id: string,
    on: DataSource | EntityManager = this.dataSource,
  ): Promise<{ readonly state: RunState; readonly fence: number } | undefined> {
    const [row] = await on.query<{ state: RunState; fence: number }[]>(
      `SELECT state, fence::float8 AS fence FROM ${this.table} WHERE id = $1`,
      [id],
    );
    return row;
  }

  /**
   * Takes the run for the owner with this fence. `undefined` when it is final, or when a later owner has it: an equal fence is
   * the same owner once more, so a repeated claim succeeds.
   */
  async claim(id: string, fence: number, attempt: number, worker: string): Promise<ClaimedRun | undefined> {
    const [[row]] = await this.dataSource.query<[{ input: Buffer; indexedTo: number }[], number]>(
      `UPDATE ${this.table} SET state = 'running', fence = $2, attempt = $3, worker = $4, progress_at = now()
       WHERE id = $1 AND fence <= $2 AND state IN ('accepted', 'running')
       RETURNING input, indexed_to::float8 AS "indexedTo"`,
      [id, fence, attempt, worker],
    );
    return row === undefined ? undefined : { id, fence, ...row };
  }

  /** False when the run has another owner or is final: the caller must stop. Never moves back. */
  async moveIndexedTo(id: string, fence: number, indexedTo: number): Promise<boolean> {
    const [, moved] = await this.dataSource.query<[unknown[], number]>(
      `UPDATE ${this.table} SET indexed_to = $3, progress_at = now()
       WHERE id = $1 AND fence = $2 AND state = 'running' AND indexed_to <= $3`,
      [id, fence, indexedTo],
    );
    return moved === 1;
  }

  /** In the caller's transaction. False when the run has another owner or is final: roll back. */
  async finish(manager: EntityManager, id: string, fence: number): Promise<boolean> {
    const [, finished] = await manager.query<[unknown[], number]>(
      `UPDATE ${this.table} SET state = 'done', finished_at = now(), progress_at = now()
       WHERE id = $1 AND fence = $2 AND state = 'running'`,
      [id, fence],
    );
    return finished === 1;
  }

  /** In the caller's transaction. False when the run is final or a later owner has it. */
  async fail(manager: EntityManager, id: string, fence: number, failure: string): Promise<boolean> {
    const [, failed] = await manager.query<[unknown[], number]>(
      `UPDATE ${this.table} SET state = 'failed', fence = $2, failure = $3, finished_at = now(), progress_at = now()
       WHERE id = $1 AND fence <= $2 AND state IN ('accepted', 'running')`,
      [id, fence, failure],
    );
    return failed === 1;
  }

  /**
   * Unfinished runs without progress since `stalledAfterMs`, at most 100, each given to one poller at a time and not again before as much
   * time has passed.
   */
  async takeStalled(stalledAfterMs: number): Promise<readonly StalledRun[]> {
    const [rows] = await this.dataSource.query<[StalledRun[], number]>(
      `UPDATE ${this.table} SET produced_at = now() WHERE id IN (
         SELECT id FROM ${this.table}
         WHERE state IN ('accepted', 'running') AND progress_at < now() - $1 * interval '1 ms'
           AND (produced_at IS NULL OR produced_at < now() - $1 * interval '1 ms')
         ORDER BY progress_at LIMIT 100 FOR UPDATE SKIP LOCKED)
       RETURNING id, handoff_id AS "handoffId"`,
      [stalledAfterMs],
    );
    return rows;
  }

  /** Which hand-off carries the run, to find it among the dead letters later. Not fenced: it only helps to look. */
  async rememberHandoff(id: string, handoffId: string): Promise<void> {
    await this.dataSource.query(`UPDATE ${this.table} SET handoff_id = $2, produced_at = now() WHERE id = $1`, [
      id,
      handoffId,
    ]);
  }
}
