import { randomBytes } from 'node:crypto';
import { FakeQuickwit, quickwitUnderTest } from '@nest-baton/testing';
import { request } from 'undici';

/** A Quickwit with one index whose documents have a whole number as `id`, a text as `text`, and nothing else. */
export interface ContractServer {
  readonly url: string;
  readonly index: string;
  stop(): Promise<void>;
}

/** The real one of `TEST_QUICKWIT_URL`, with an index of its own, or the fake one. */
export async function startContractServer(): Promise<ContractServer> {
  const index = `baton-contract-${randomBytes(4).toString('hex')}`;
  const url = quickwitUnderTest();
  if (url === undefined) {
    const fake = await FakeQuickwit.start({ indexes: [index], validate: misfit });
    return { url: fake.url, index, stop: () => fake.stop() };
  }
  await call('POST', `${url}/api/v1/indexes`, {
    version: '0.8',
    index_id: index,
    doc_mapping: {
      mode: 'strict',
      field_mappings: [
        { name: 'id', type: 'u64' },
        { name: 'text', type: 'text' },
      ],
    },
    indexing_settings: { commit_timeout_secs: 1 },
  });
  return { url, index, stop: () => call('DELETE', `${url}/api/v1/indexes/${index}`) };
}

/** What the mapping above objects to. */
function misfit(document: Readonly<Record<string, unknown>>): string | undefined {
  const { id, text, ...others } = document;
  if (id !== undefined && !(Number.isSafeInteger(id) && (id as number) >= 0)) return 'id is no u64';
  if (text !== undefined && typeof text !== 'string') return 'text is no text';
  const [unknown] = Object.keys(others);
  return unknown === undefined ? undefined : `the document has an unknown field ${unknown}`;
}

async function call(method: 'POST' | 'DELETE', url: string, body?: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const answer = await request(url, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${method} ${url} was answered ${answer.statusCode}: ${text}`);
}
