import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { controlOf, eventOf } from './event-stream.js';
import { liveCursor } from './live-cursor.js';
import { decodeOffset, encodeOffset } from './stream-offset.js';

describe('offsets', () => {
  it('sort as text as their positions do, and come back', () => {
    const position = fc.maxSafeNat();
    fc.assert(
      fc.property(fc.integer({ min: 1 }), position, position, (originId, one, other) => {
        const texts = [one, other].map((at) => encodeOffset({ originId, position: at }));
        expect(texts[0]! < texts[1]!).toBe(one < other);
        expect(decodeOffset(texts[0]!)).toEqual({ originId, position: one });
      }),
    );
  });
});

describe('live cursors', () => {
  const at = (seconds: number) => ({ now: () => Date.UTC(2024, 9, 9) + seconds * 1_000, monotonic: () => 0 });

  it('count intervals of 20 s since October 2024', () => {
    expect(liveCursor(undefined, at(0), () => 0)).toBe('0');
    expect(liveCursor('1', at(59), () => 0)).toBe('2');
  });

  it('grow for who has that of now or a later one, and mind no nonsense', () => {
    expect(liveCursor('2', at(59), () => 0)).toBe('3');
    expect(liveCursor('2', at(59), () => 0.999)).toBe('182');
    expect(liveCursor('50', at(59), () => 0)).toBe('51');
    for (const odd of ['', 'x', '-1', '9'.repeat(40)]) expect(liveCursor(odd, at(59), () => 0)).toBe('2');
  });
});

describe('event streams', () => {
  it('carry any text in one event, with every end of a line as LF', () => {
    const text = fc.string({
      unit: fc.constantFrom('\r', '\n', 'data:', 'event: control', ' ', ':', '\ufeff', '😀', 'a'),
    });
    fc.assert(
      fc.property(text, (given) => {
        const events: { event?: string | undefined; data: string }[] = [];
        const parser = createParser({ onEvent: (event) => void events.push(event) });
        parser.feed(eventOf('data', given) + controlOf({ streamNextOffset: '1', upToDate: true }));
        expect(events).toMatchObject([
          { event: 'data', data: given.replaceAll(/\r\n|\r/g, '\n') },
          { event: 'control', data: '{"streamNextOffset":"1","upToDate":true}' },
        ]);
      }),
    );
  });
});
