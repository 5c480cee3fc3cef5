import { jest } from '@jest/globals';
import { adaptTransaction, type AdaptedTransaction, type TransactionLike } from '@nest-baton/core';
import { freshDatabase } from '@nest-baton/testing';
import pg from 'pg';
import { DataSource, EntitySchema, type QueryRunner } from 'typeorm';
import { connected } from './listening.js';

interface Note {
  id: number;
  text: string;
}

const NoteSchema = new EntitySchema<Note>({
  name: 'note',
  columns: { id: { type: 'int', primary: true, generated: true }, text: { type: 'text' } },
});

const REFUSED = expect.objectContaining({ code: 'NOT_IN_TRANSACTION' });

describe("the caller's transaction", () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let dataSource: DataSource;
  let session: pg.Client;

  beforeAll(async () => {
    database = await freshDatabase();
    session = await connected(database.url);
    await session.query(`CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)`);
    await session.query(`CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`);
    dataSource = new DataSource({ type: 'postgres', url: database.url, entities: [NoteSchema] });
    await dataSource.initialize();
  });
  beforeEach(() => session.query(`TRUNCATE note, late`));
  afterAll(async () => {
    await dataSource.destroy();
    await session.end();
    await database.drop();
  });

  const notes = async () =>
    (await session.query<{ text: string }>(`SELECT text FROM note ORDER BY id`)).rows.map(({ text }) => text);
  const write = (adapted: AdaptedTransaction, text: string) =>
    adapted.query(`INSERT INTO note (text) VALUES ($1)`, [text]);

  describe('of TypeORM', () => {
    let runner: QueryRunner;
    beforeEach(() => void (runner = dataSource.createQueryRunner()));
    afterEach(() => runner.release());

    it('is joined through an EntityManager and through a QueryRunner, and its DataSource is known', async () => {
      await dataSource.transaction(async (manager) => {
        const adapted = await adaptTransaction(manager);
        expect(adapted.dataSource).toBe(dataSource);
        await write(adapted, 'manager');
        expect(await notes()).toEqual([]);
      });
      await runner.startTransaction();
      for (const transaction of [runner, runner.manager]) await write(await adaptTransaction(transaction), 'runner');
      await runner.rollbackTransaction();
      expect(await notes()).toEqual(['manager']);
    });

    it('gives rows and their number for every kind of statement', async () => {
      await dataSource.transaction(async (manager) => {
        const adapted = await adaptTransaction(manager);
        expect(await write(adapted, 'a')).toEqual({ rows: [], rowCount: 1 });
        const returning = await adapted.query<Note>(`INSERT INTO note (text) VALUES ('b'), ('c') RETURNING text`);
        expect(returning).toEqual({ rows: [{ text: 'b' }, { text: 'c' }], rowCount: 2 });
        expect(await adapted.query(`SELECT text FROM note WHERE text = $1`, ['a'])).toEqual({
          rows: [{ text: 'a' }],
          rowCount: 1,
        });
        expect(await adapted.query(`SELECT text FROM note WHERE false`)).toEqual({ rows: [], rowCount: 0 });
        expect(await adapted.query(`UPDATE note SET text = text`)).toEqual({ rows: [], rowCount: 3 });
        expect(await adapted.query(`UPDATE note SET text = 'z' WHERE text = 'a' RETURNING text`)).toEqual({
          rows: [{ text: 'z' }],
          rowCount: 1,
        });
        expect(await adapted.query(`DELETE FROM note`)).toEqual({ rows: [], rowCount: 3 });
        expect(await adapted.query(`DELETE FROM note`)).toEqual({ rows: [], rowCount: 0 });
      });
    });

    it('is refused when none is open', async () => {
      for (const transaction of [dataSource.manager, runner, runner.manager])
        await expect(adaptTransaction(transaction)).rejects.toEqual(REFUSED);
      await runner.startTransaction();
      await runner.commitTransaction();
      for (const transaction of [runner, runner.manager])
        await expect(adaptTransaction(transaction)).rejects.toEqual(REFUSED);
    });

    it('is refused as a DataSource and as a Repository, in a transaction too, with the remedy', async () => {
      const refusal = async (transaction: unknown) =>
        expect(adaptTransaction(transaction as TransactionLike)).rejects.toMatchObject({
          code: 'NOT_IN_TRANSACTION',
          message: expect.stringContaining('pass the manager of dataSource.transaction(...)'),
        });
      await refusal(dataSource);
      await refusal(dataSource.getRepository(NoteSchema));
      await dataSource.transaction(async (manager) => {
        await refusal(dataSource);
        await refusal(manager.getRepository(NoteSchema));
      });
    });
  });

  describe('of TypeORM, and what is hooked to its commit', () => {
    let runner: QueryRunner;
    let hooked: string[];
    beforeEach(() => {
      runner = dataSource.createQueryRunner();
      hooked = [];
    });
    afterEach(() => runner.release());

    const hook = async (transaction: TransactionLike, name: string) => {
      const adapted = await adaptTransaction(transaction);
      expect(adapted.afterCommit(() => void hooked.push(name))).toBe(true);
    };

    it('runs once, in order, after the commit and not before', async () => {
      const seen: Promise<string[]>[] = [];
      await dataSource.transaction(async (manager) => {
        const adapted = await adaptTransaction(manager);
        await write(adapted, 'written');
        adapted.afterCommit(() => void seen.push(notes()));
        await hook(manager, 'first');
        await hook(manager, 'second');
        expect(hooked).toEqual([]);
      });
      expect(hooked).toEqual(['first', 'second']);
      expect(await Promise.all(seen)).toEqual([['written']]);
    });

    it('never runs after a rollback', async () => {
      const failing = dataSource.transaction(async (manager) => {
        await hook(manager, 'rolled back');
        throw new Error('changed my mind');
      });
      await expect(failing).rejects.toThrow('changed my mind');
      await runner.startTransaction();
      await hook(runner, 'rolled back');
      await runner.rollbackTransaction();
      expect(hooked).toEqual([]);
    });

    it('waits for the outer commit when it was hooked inside a savepoint', async () => {
      await dataSource.transaction(async (manager) => {
        await manager.transaction(async (inner) => {
          await hook(inner, 'inner');
          await inner.transaction((innermost) => hook(innermost, 'innermost'));
        });
        expect(hooked).toEqual([]);
        await hook(manager, 'outer');
      });
      expect(hooked).toEqual(['inner', 'innermost', 'outer']);
    });

    it('never runs when its savepoint was rolled back, although the transaction was committed', async () => {
      await dataSource.transaction(async (manager) => {
        await hook(manager, 'outer');
        const failing = manager.transaction(async (inner) => {
          await write(await adaptTransaction(inner), 'undone');
          await inner.transaction((innermost) => hook(innermost, 'released into one that is rolled back'));
          await hook(inner, 'inner');
          throw new Error('undo');
        });
        await expect(failing).rejects.toThrow('undo');
        await manager.transaction((next) => hook(next, 'next'));
      });
      expect([hooked, await notes()]).toEqual([['outer', 'next'], []]);
    });

    it('is not lost when a later savepoint of the same depth is rolled back', async () => {
      await dataSource.transaction(async (manager) => {
        await manager.transaction((inner) => hook(inner, 'released'));
        await expect(manager.transaction(async () => Promise.reject(new Error('undo')))).rejects.toThrow('undo');
      });
      expect(hooked).toEqual(['released']);
    });

    it('never runs when a savepoint was released and the transaction rolled back', async () => {
      const failing = dataSource.transaction(async (manager) => {
        await manager.transaction((inner) => hook(inner, 'inner'));
        throw new Error('undo all');
      });
      await expect(failing).rejects.toThrow('undo all');
      expect(hooked).toEqual([]);
    });

    it('never runs when Postgres answers the COMMIT of a failed transaction with a rollback', async () => {
      await runner.startTransaction();
      await write(await adaptTransaction(runner), 'never');
      await hook(runner, 'never');
      await expect(runner.query('SELECT 1/0')).rejects.toThrow('division by zero');
      await runner.commitTransaction();
      expect([hooked, await notes()]).toEqual([[], []]);
      await runner.startTransaction();
      await hook(runner, 'next');
      await runner.commitTransaction();
      expect(hooked).toEqual(['next']);
    });

    it('never runs when the COMMIT itself is refused', async () => {
      const failing = dataSource.transaction(async (manager) => {
        await hook(manager, 'never');
        await manager.query(`INSERT INTO late VALUES (1), (1)`);
      });
      await expect(failing).rejects.toThrow('duplicate key');
      expect(hooked).toEqual([]);
    });

    it('never runs when the connection is lost before the commit', async () => {
      const failing = dataSource.transaction(async (manager) => {
        await hook(manager, 'never');
        const [{ pid }] = await manager.query<[{ pid: number }]>(`SELECT pg_backend_pid() AS pid`);
        await session.query(`SELECT pg_terminate_backend($1)`, [pid]);
        await manager.query('SELECT 1');
      });
      await expect(failing).rejects.toThrow();
      expect(hooked).toEqual([]);
    });

    it('belongs to its transaction when one runner has many', async () => {
      for (let i = 0; i < 10; i++) {
        await runner.startTransaction();
        await hook(runner, `transaction ${i}`);
        if (i % 2 === 0) await runner.commitTransaction();
        else await runner.rollbackTransaction();
      }
      expect(hooked).toEqual([0, 2, 4, 6, 8].map((i) => `transaction ${i}`));
    });

    it('belongs to its transaction when many run together', async () => {
      const running = Array.from({ length: 20 }, (_, i) =>
        dataSource.transaction(async (manager) => {
          await hook(manager, `transaction ${i}`);
          if (i % 2 === 1) throw new Error('odd');
        }),
      );
      await Promise.allSettled(running);
      const even = Array.from({ length: 10 }, (_, i) => `transaction ${2 * i}`);
      expect(hooked.toSorted()).toEqual(even.toSorted());
    });

    it('makes no committed transaction fail when it throws, and keeps no other hook from running', async () => {
      const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
      await dataSource.transaction(async (manager) => {
        const adapted = await adaptTransaction(manager);
        await write(adapted, 'committed');
        adapted.afterCommit(() => {
          throw new Error('boom');
        });
        await hook(manager, 'next');
      });
      expect([hooked, await notes()]).toEqual([['next'], ['committed']]);
      expect(warn).toHaveBeenCalledWith('a hook after commit failed: boom', { type: 'BatonWarning' });
      warn.mockRestore();
    });

    it('does not pass to the next transaction of a runner when another subscriber broke the rollback', async () => {
      const breaking = {
        afterTransactionRollback: () => {
          throw new Error('a subscriber of the user');
        },
      };
      await runner.startTransaction();
      await hook(runner, 'rolled back');
      dataSource.subscribers.unshift(breaking);
      await expect(runner.rollbackTransaction()).rejects.toThrow('a subscriber of the user');
      dataSource.subscribers.splice(dataSource.subscribers.indexOf(breaking), 1);
      await runner.startTransaction();
      await runner.commitTransaction();
      expect(hooked).toEqual([]);
    });

    it('works again after the DataSource was destroyed and initialised, with one subscriber of ours', async () => {
      const other = new DataSource({ type: 'postgres', url: database.url });
      for (let round = 0; round < 3; round++) {
        await other.initialize();
        for (let i = 0; i < 3; i++) await other.transaction((manager) => hook(manager, `round ${round}`));
        expect(other.subscribers).toHaveLength(1);
        await other.destroy();
      }
      expect(hooked).toHaveLength(9);
    });
  });

  describe('of pg', () => {
    let client: pg.Client;
    beforeEach(async () => void (client = await connected(database.url)));
    afterEach(() => client.end());

    it('is joined through a client on which BEGIN was run, and tells nobody of its commit', async () => {
      await client.query('BEGIN');
      const adapted = await adaptTransaction(client);
      expect(adapted.dataSource).toBeUndefined();
      expect(adapted.afterCommit(() => undefined)).toBe(false);
      expect(await write(adapted, 'a')).toEqual({ rows: [], rowCount: 1 });
      expect(await adapted.query(`SELECT text FROM note`)).toEqual({ rows: [{ text: 'a' }], rowCount: 1 });
      expect(await adapted.query(`SET LOCAL work_mem = '8MB'`)).toEqual({ rows: [], rowCount: 0 });
      expect(await notes()).toEqual([]);
      await client.query('COMMIT');
      expect(await notes()).toEqual(['a']);
    });

    it('is refused before BEGIN, after COMMIT and after ROLLBACK', async () => {
      await expect(adaptTransaction(client)).rejects.toEqual(REFUSED);
      for (const end of ['COMMIT', 'ROLLBACK']) {
        await client.query('BEGIN');
        await adaptTransaction(client);
        await client.query(end);
        await expect(adaptTransaction(client)).rejects.toEqual(REFUSED);
      }
    });

    it('is joined when it has failed, and its next statement says so', async () => {
      await client.query('BEGIN');
      await expect(client.query('SELECT 1/0')).rejects.toThrow();
      const adapted = await adaptTransaction(client);
      await expect(write(adapted, 'a')).rejects.toMatchObject({ code: '25P02' });
    });

    it('is refused at once as a client that was never connected', async () => {
      await expect(adaptTransaction(new pg.Client(database.url))).rejects.toEqual(REFUSED);
    });

    it('is refused as a pool, and joined through the client of a pool', async () => {
      const pool = new pg.Pool({ connectionString: database.url });
      await expect(adaptTransaction(pool)).rejects.toMatchObject({
        code: 'NOT_IN_TRANSACTION',
        message: expect.stringContaining('is a pool'),
      });
      const pooled = await pool.connect();
      await expect(adaptTransaction(pooled)).rejects.toEqual(REFUSED);
      await pooled.query('BEGIN');
      await write(await adaptTransaction(pooled), 'pooled');
      await pooled.query('COMMIT');
      pooled.release();
      await pool.end();
      expect(await notes()).toEqual(['pooled']);
    });

    it('is told by a probe on clients that do not know their state, which leaves no savepoint behind', async () => {
      const older = { query: (text: string, values?: unknown[]) => client.query(text, values) };
      await expect(adaptTransaction(older)).rejects.toEqual(REFUSED);
      await client.query('BEGIN');
      await write(await adaptTransaction(older), 'older');
      await expect(client.query('RELEASE SAVEPOINT baton_probe')).rejects.toMatchObject({ code: '3B001' });
      await expect(adaptTransaction(older)).rejects.toMatchObject({ code: '25P02' });
    });
  });

  it.each([undefined, null, 'BEGIN', 7, {}, [], { query: 'SELECT 1' }, () => undefined])(
    'is refused as %p',
    async (transaction) => {
      await expect(adaptTransaction(transaction as unknown as TransactionLike)).rejects.toEqual(REFUSED);
    },
  );
});
