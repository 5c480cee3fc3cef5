import { jest } from '@jest/globals';
import { playActors } from '@nest-baton/testing';
import fc from 'fast-check';
import { landedSlice } from '../reading/slice.js';
import { channelOf, topicOf } from './topic.js';
import { WatchedStreams } from './watched-streams.js';

const { signal } = new AbortController();

describe('watched streams', () => {
  it('do not let a reader sleep over what moved while it looked', async () => {
    const watched = new WatchedStreams();
    const watch = watched.watch('s');
    const { revision } = watch;
    watched.wakeStream('s');
    await watch.changed(revision, 0, signal);
    expect(watched.waiting().names).toEqual([]);
  });

  it('wake every reader of the stream and nobody else, and give one pair with the lowest position', async () => {
    const watched = new WatchedStreams();
    const [a, b, other] = [watched.watch('s'), watched.watch('s'), watched.watch('t')];
    const waits = [a.changed(0, 7, signal), b.changed(0, 3, signal)];
    let isOtherAwake = false;
    void other.changed(0, 1, signal).then(() => (isOtherAwake = true));
    expect(watched.waiting()).toEqual({ names: ['s', 't'], positions: [3, 1], streamIds: [null, null] });
    watched.wakeTopic(topicOf('s'));
    await Promise.all(waits);
    expect([isOtherAwake, watched.waiting().names]).toEqual([false, ['t']]);
  });

  it('give the oldest stream that a reader of the name has seen', () => {
    const watched = new WatchedStreams();
    for (const streamId of [9, undefined, 5, 7]) void watched.watch('s').changed(0, 0, signal, streamId);
    expect(watched.waiting()).toEqual({ names: ['s'], positions: [0], streamIds: [5] });
  });

  it('hand what has landed to whoever waits for just that, and to nobody else', async () => {
    const watched = new WatchedStreams();
    const watch = watched.watch('s');
    const wait = (position: number, streamId?: number) => watch.changed(watch.revision, position, signal, streamId);
    const slice = landedSlice(5, 3, [Buffer.from('a'), Buffer.from('b')], new Date());
    const waits = [wait(3, 5), wait(2, 5), wait(3, 4), wait(3), wait(3, 5)];
    watched.wakeStream('s', () => slice);
    // Before any of them goes on; it has not seen this.
    watched.wakeStream('s', () => landedSlice(5, 5, [Buffer.from('c')], new Date()));
    const handed = { slice, revision: 1 };
    expect(await Promise.all(waits)).toEqual([handed, undefined, undefined, undefined, handed]);
    expect(watch.revision).toBe(2);
  });

  it('do not make what nobody waits for', () => {
    const watched = new WatchedStreams();
    watched.watch('s');
    const make = jest.fn(() => undefined);
    expect([watched.wakeStream('s', make), watched.wakeStream('unknown', make)]).toEqual([0, 0]);
    expect(make).not.toHaveBeenCalled();
  });

  it('hold nothing once nobody reads, however often a watch is released', () => {
    const watched = new WatchedStreams();
    const watches = Array.from({ length: 100 }, (_, i) => watched.watch(`${i % 10}`));
    expect(watched.size).toBe(10);
    for (const watch of [...watches, ...watches]) watch.release();
    expect(watched.size).toBe(0);
  });

  it('free a reader whose signal aborts', async () => {
    const watched = new WatchedStreams();
    const abort = new AbortController();
    const waiting = watched.watch('s').changed(0, 0, abort.signal);
    abort.abort();
    await waiting;
    expect(watched.waiting().names).toEqual([]);
  });
});

describe('channelOf', () => {
  it('differs for each schema, and has at most 63 bytes', () => {
    const schemas = ['baton', 'other', 'x'.repeat(63), `${'x'.repeat(62)}y`, 'ü'.repeat(31)];
    const channels = schemas.map(channelOf);
    expect(new Set(channels).size).toBe(schemas.length);
    for (const channel of channels) expect(Buffer.byteLength(channel)).toBeLessThanOrEqual(63);
  });
});

describe('watched streams, in any order of looking, moving and going to sleep', () => {
  it('let no reader sleep over a move, and hold nothing at the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        async (s, readers, moves) => {
          const watched = new WatchedStreams();
          let tail = 0;
          // Reads the tail, which takes its time, then sleeps unless the stream has moved since: as a reader does.
          const reader = () => async () => {
            const watch = watched.watch('s');
            for (let seen = 0; seen < moves;) {
              const { revision } = watch;
              seen = tail;
              await s.schedule(Promise.resolve(), 'the query returns');
              if (seen < moves) await watch.changed(revision, seen, signal);
            }
            watch.release();
          };
          const writer = Array.from({ length: moves }, () => () => {
            tail++;
            watched.wakeStream('s');
          });
          const actors = Object.fromEntries(Array.from({ length: readers }, (_, i) => [`reader ${i}`, [reader()]]));
          await playActors(s, { writer, ...actors });
          expect([watched.size, watched.waiting().names]).toEqual([0, []]);
        },
      ),
    );
  });
});
