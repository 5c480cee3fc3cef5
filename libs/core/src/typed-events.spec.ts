import { jest } from '@jest/globals';
import fc from 'fast-check';
import { TypedEvents } from './typed-events.js';

interface Events {
  moved: { to: number };
  ended: undefined;
}

function eventsWithReport() {
  const reports: [string, unknown][] = [];
  return { reports, events: new TypedEvents<Events>((event, error) => void reports.push([event, error])) };
}

describe('TypedEvents', () => {
  it('calls the listeners of an event with its payload, in the order of registration', () => {
    const { events } = eventsWithReport();
    const heard: string[] = [];
    events.on('moved', ({ to }) => heard.push(`first ${to}`));
    events.on('moved', ({ to }) => heard.push(`second ${to}`));
    events.on('ended', () => heard.push('ended'));
    events.emit('moved', { to: 7 });
    expect(heard).toEqual(['first 7', 'second 7']);
  });

  it('emits to nobody without complaint', () => {
    const { events, reports } = eventsWithReport();
    events.emit('ended', undefined);
    expect(reports).toEqual([]);
  });

  it('calls a function that was registered twice twice, and each remover removes one registration, once', () => {
    const { events } = eventsWithReport();
    let calls = 0;
    const listener = () => calls++;
    const remove = events.on('ended', listener);
    events.on('ended', listener);
    events.emit('ended', undefined);
    expect(calls).toBe(2);
    remove();
    remove();
    events.emit('ended', undefined);
    expect(calls).toBe(3);
  });

  it('lets a listener remove itself and others while the event is emitted', () => {
    const { events } = eventsWithReport();
    const heard: string[] = [];
    const removers: (() => void)[] = [];
    removers.push(
      events.on('ended', () => {
        heard.push('first');
        for (const remove of removers.slice(0, 2)) remove();
      }),
      events.on('ended', () => heard.push('removed by the first')),
      events.on('ended', () => heard.push('third')),
    );
    events.emit('ended', undefined);
    events.emit('ended', undefined);
    expect(heard).toEqual(['first', 'third', 'third']);
  });

  it('lets a listener that is added while an event is emitted hear only the next one', () => {
    const { events } = eventsWithReport();
    let calls = 0;
    const addAnother = () => {
      if (++calls < 100) events.on('ended', addAnother);
    };
    events.on('ended', addAnother);
    events.emit('ended', undefined);
    expect(calls).toBe(1);
    events.emit('ended', undefined);
    expect(calls).toBe(3);
  });

  it('reports a listener that throws and goes on with the next', () => {
    const { events, reports } = eventsWithReport();
    const heard: string[] = [];
    const boom = new Error('boom');
    events.on('moved', () => {
      throw boom;
    });
    events.on('moved', () => heard.push('second'));
    events.emit('moved', { to: 1 });
    expect(heard).toEqual(['second']);
    expect(reports).toEqual([['moved', boom]]);
  });

  it('reports the rejection of an async listener, and of a thenable that is no native promise', async () => {
    const { events, reports } = eventsWithReport();
    events.on('moved', async () => Promise.reject(new Error('later')));
    events.on('ended', () => ({ then: (_ok: unknown, failed: (error: unknown) => void) => failed('foreign') }));
    events.emit('moved', { to: 1 });
    events.emit('ended', undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(reports).toEqual(
      expect.arrayContaining([
        ['moved', expect.objectContaining({ message: 'later' })],
        ['ended', 'foreign'],
      ]),
    );
  });

  it('keeps a report that throws away from whoever emits', () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const events = new TypedEvents<Events>(() => {
      throw new Error('the report is broken');
    });
    events.on('ended', () => {
      throw new Error('boom');
    });
    expect(() => events.emit('ended', undefined)).not.toThrow();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('the report is broken'), { type: 'BatonWarning' });
    warn.mockRestore();
  });
});

describe('TypedEvents, with listeners that add, remove and throw while they are called', () => {
  interface Plan {
    readonly does: 'nothing' | 'throws' | 'adds' | 'removes itself' | 'removes the next';
  }

  it('calls each that was there and still is, once an event, in order, and reports each that threw', () => {
    const plan = fc.record<Plan>({
      does: fc.constantFrom('nothing', 'throws', 'adds', 'removes itself', 'removes the next'),
    });
    fc.assert(
      fc.property(fc.array(plan, { maxLength: 8 }), fc.integer({ min: 1, max: 3 }), (plans, emits) => {
        const { events, reports } = eventsWithReport();
        let heard: number[] = [];
        let added = 0;
        const removes: (() => void)[] = [];
        plans.forEach(({ does }, i) => {
          removes[i] = events.on('moved', () => {
            heard.push(i);
            if (does === 'throws') throw new Error('boom');
            if (does === 'adds') events.on('moved', () => void added++);
            if (does === 'removes itself') removes[i]?.();
            if (does === 'removes the next') removes[i + 1]?.();
          });
        });
        let left = plans.map((_, i) => i);
        let listenersAdded = 0;
        for (let nth = 0; nth < emits; nth++) {
          [heard, added, reports.length] = [[], 0, 0];
          events.emit('moved', { to: nth });
          const called: number[] = [];
          const gone = new Set<number>();
          for (const i of left) {
            if (gone.has(i)) continue;
            called.push(i);
            if (plans[i]!.does === 'removes itself') gone.add(i);
            if (plans[i]!.does === 'removes the next') gone.add(i + 1);
          }
          expect(heard).toEqual(called);
          expect(reports).toHaveLength(called.filter((i) => plans[i]!.does === 'throws').length);
          expect(added).toBe(listenersAdded);
          listenersAdded += called.filter((i) => plans[i]!.does === 'adds').length;
          left = left.filter((i) => !gone.has(i));
        }
      }),
    );
  });
});
