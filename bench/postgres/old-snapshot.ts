import pg from 'pg';

/** A transaction of somebody else that has read once and stays open: no row version that is younger is ever removed meanwhile. */
export async function openOldSnapshot(url: string): Promise<{ end(): Promise<void> }> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench-old-snapshot' });
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM pg_class');
  return {
    async end() {
      await client.query('ROLLBACK');
      await client.end();
    },
  };
}
