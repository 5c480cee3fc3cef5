import { encodeCursor } from '../reading/cursor.js';
import { validCursorOf } from './last-event-id.decorator.js';

const cursor = encodeCursor({ streamId: 3, position: 7, isEnd: false });
const other = encodeCursor({ streamId: 3, position: 8, isEnd: true });

describe('validCursorOf', () => {
  it.each([
    ['of Express', { headers: { 'last-event-id': cursor }, url: '/', originalUrl: `/s?lastEventId=${other}` }, cursor],
    ['of Express below a router', { headers: {}, url: '/', originalUrl: `/s?lastEventId=${other}` }, other],
    ['of Fastify', { headers: {}, url: `/s?a=1&lastEventId=${other}`, raw: {}, query: {} }, other],
    ['of a client that has seen nothing', { headers: {}, url: '/s' }, undefined],
  ])('reads the request %s', (_, request, expected) => {
    expect(validCursorOf(request)).toBe(expected);
  });

  it.each([
    ['-1', '-1'],
    ['now', 'now'],
    ['an index', '0'],
    ['another form of the same cursor', `${cursor}=`],
    ['10 000 characters', 'x'.repeat(10_000)],
    ['SQL', `'; DROP TABLE streams; --`],
  ])('answers %s with 400', (_, id) => {
    const refused = (): unknown => validCursorOf({ headers: { 'last-event-id': id } });
    expect(refused).toThrow(expect.objectContaining({ status: 400 }));
    expect(refused).toThrow(expect.objectContaining({ response: expect.objectContaining({ code: 'CURSOR_INVALID' }) }));
  });
});
