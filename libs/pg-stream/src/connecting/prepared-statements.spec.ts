import { PreparedStatements } from './prepared-statements.js';

/** Refuses names as a server does behind a transaction pooler. */
function clientThat(refusesWith: string | undefined) {
  const names: (string | undefined)[] = [];
  const query = ({ name }: { readonly name?: string }) => {
    names.push(name);
    if (name !== undefined && refusesWith !== undefined)
      return Promise.reject(Object.assign(new Error('refused'), { code: refusesWith }));
    return Promise.resolve({ rows: [] });
  };
  return { names, query };
}

const query = (text: string) => ({ text, values: [] });

describe('PreparedStatements', () => {
  it('gives each text one name, the same in every instance and another for another text', async () => {
    const client = clientThat(undefined);
    const [one, other] = [new PreparedStatements(), new PreparedStatements()];
    for (const statements of [one, other])
      for (const text of ['SELECT 1', 'SELECT 2', 'SELECT 1']) await statements.query(client, query(text));
    const [first, second] = client.names;
    expect(client.names).toEqual([first, second, first, first, second, first]);
    expect(first).toMatch(/^baton_.{24}$/);
    expect(second).not.toBe(first);
  });

  it.each(['26000', '42P05', '0A000'])('sends them as they are from the first %s on', async (code) => {
    const client = clientThat(code);
    const statements = new PreparedStatements();
    for (let i = 0; i < 2; i++) await statements.query(client, query('SELECT 1'));
    expect(client.names).toEqual([expect.any(String), undefined, undefined]);
  });

  it('repeats nothing that was refused for another reason', async () => {
    const client = clientThat('40001');
    const statements = new PreparedStatements();
    await expect(statements.query(client, query('SELECT 1'))).rejects.toMatchObject({ code: '40001' });
    expect(client.names).toHaveLength(1);
  });
});
