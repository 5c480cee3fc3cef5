import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { chunkFrame, endFrame } from './sse-frame.js';
import { lastEventIdOf } from './sse-request.js';

describe('frames', () => {
  it('give back any bytes, whatever they look like to a parser of events', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc
        .string({ unit: fc.constantFrom('\r', '\n', 'data:', 'id: ', ' ', '\ufeff', '😀', '\0', '"', '\\') })
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, (data) => {
        const events: { event?: string | undefined; id?: string | undefined; data: string }[] = [];
        const parser = createParser({ onEvent: (event) => void events.push(event) });
        parser.feed(chunkFrame({ index: 3, cursor: 'c', data, createdAt: new Date(0) }));
        expect(events).toMatchObject([{ event: 'chunk', id: 'c' }]);
        const body = JSON.parse(events[0]!.data) as { index: number; text?: string; base64?: string };
        const read = body.text === undefined ? Buffer.from(body.base64!, 'base64') : Buffer.from(body.text);
        expect([body.index, read.equals(data)]).toEqual([3, true]);
      }),
    );
  });

  it('say how the stream ended', () => {
    expect(endFrame('c', { status: 'done' })).toBe('id: c\nevent: end\ndata: {"status":"done"}\n\n');
    expect(endFrame('c', { status: 'error', message: 'a\nb' })).toContain('{"status":"error","message":"a\\nb"}');
  });
});

describe('lastEventIdOf', () => {
  it.each([
    [{ headers: { 'last-event-id': 'h' }, url: '/s?lastEventId=q' }, 'h'],
    [{ headers: {}, url: '/s?a=1&lastEventId=q%20x' }, 'q x'],
    [{ headers: { 'last-event-id': '' }, url: '/', originalUrl: '/s?lastEventId=q' }, 'q'],
    [{ headers: {}, url: '/s?lastEventId=' }, undefined],
    [{ headers: {} }, undefined],
  ])('reads %j as %p', (request, id) => {
    expect(lastEventIdOf(request)).toBe(id);
  });
});
