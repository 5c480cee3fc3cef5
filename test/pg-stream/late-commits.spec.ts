import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const WRITERS = 16;
const ROWS = 10_000;

let world: StreamsWorld;
let services: PgStreamService[];
beforeAll(async () => {
  world = await StreamsWorld.create();
  services = [await world.service(), await world.service(), await world.service()];
});
afterAll(() => world.stop());

describe('16 writers, some of whose transactions commit late or not at all', () => {
  it('4.2 and 4: 10 000 chunks of one stream reach every reader, none missed, in the order in which a late reader sees them', async () => {
    const [reading] = services as [PgStreamService];
    const readers = Array.from({ length: 3 }, (_, i) => textsOf(services[i]!.read('one')));
    let next = 0;
    const stored = new Set<string>();
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, w) => {
        const service = services[w % services.length]!;
        const client = w % 4 === 0 ? await world.client() : undefined;
        for (let nth = next++; nth < ROWS; nth = next++) {
          const text = `${w}:${nth}`;
          if (client === undefined || nth % 5 !== 0) await service.append('one', text);
          else {
            await client.query('BEGIN');
            await service.append('one', text, { transaction: client });
            await client.query('SELECT pg_sleep($1)', [(nth % 4) / 1_000]);
            const isKept = nth % 3 !== 0;
            await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
            if (!isKept) continue;
          }
          stored.add(text);
        }
      }),
    );
    await reading.closeStream('one');
    const late = await textsOf(reading.read('one'));
    expect(new Set(late)).toEqual(stored);
    expect(late).toHaveLength(stored.size);
    for (const texts of await Promise.all(readers)) expect(texts).toEqual(late);
    expect((await reading.info('one')).tailIndex).toBe(stored.size - 1);
  }, 60_000);
});
