import { expiryOf, forkOf, isClosing, producerOf } from './request-headers.js';
import { readQueryOf } from './read-query.js';

const refused = expect.objectContaining({ status: 400 });

describe('headers', () => {
  it.each(['true', 'TRUE', 'True'])('close with Stream-Closed: %s', (value) => {
    expect(isClosing({ 'stream-closed': value })).toBe(true);
  });

  it.each(['false', 'yes', '1', '', ' true'])('do not close with Stream-Closed: %j', (value) => {
    expect(isClosing({ 'stream-closed': value })).toBe(false);
  });

  it.each(['-1', '+1', '01', '1.0', '1e3', '', ' 1', '9007199254740992', '0x1'])(
    'refuse the number %j everywhere',
    (value) => {
      expect(() => expiryOf({ 'stream-ttl': value })).toThrow(refused);
      expect(() => producerOf({ 'producer-id': 'p', 'producer-epoch': value, 'producer-seq': '0' })).toThrow(refused);
      expect(() => forkOf({ 'stream-forked-from': '/s', 'stream-fork-sub-offset': value })).toThrow(refused);
    },
  );

  it.each(['tomorrow', '2026-01-01', '2026-13-01T00:00:00Z', '2026-01-01T00:00:00', '1'])(
    'refuse the time %j',
    (value) => {
      expect(() => expiryOf({ 'stream-expires-at': value })).toThrow(refused);
    },
  );

  it('read an expiry of one kind', () => {
    expect(expiryOf({})).toEqual({ ttlSeconds: undefined, expiresAt: undefined });
    expect(expiryOf({ 'stream-ttl': '0' })).toMatchObject({ ttlSeconds: 0 });
    expect(expiryOf({ 'stream-expires-at': '2026-01-01T01:00:00+01:00' }).expiresAt).toEqual(
      new Date(Date.UTC(2026, 0, 1)),
    );
    expect(() => expiryOf({ 'stream-ttl': '1', 'stream-expires-at': '2026-01-01T00:00:00Z' })).toThrow(refused);
  });

  it('read a producer from all three headers or none', () => {
    expect(producerOf({})).toBeUndefined();
    expect(producerOf({ 'producer-id': 'p', 'producer-epoch': '2', 'producer-seq': '3' })).toEqual({
      id: 'p',
      epoch: 2,
      seq: 3,
    });
    expect(() => producerOf({ 'producer-id': 'p', 'producer-seq': '3' })).toThrow(refused);
    expect(() => producerOf({ 'producer-id': '', 'producer-epoch': '2', 'producer-seq': '3' })).toThrow(refused);
  });
});

describe('queries', () => {
  const read = (query: string): unknown => readQueryOf(new URLSearchParams(query));

  it.each([
    ['', { offset: 'start', live: undefined }],
    ['offset=-1', { offset: 'start' }],
    ['offset=now&live=sse', { offset: 'tail', live: 'sse' }],
    ['offset=0000000000000000_0000000000000000', { offset: 'start' }],
    [
      'offset=0000000000000003_0000000000000012&live=long-poll&cursor=7&x=1',
      { offset: { originId: 3, position: 12 }, live: 'long-poll', cursor: '7' },
    ],
  ])('%j is read', (query, expected) => {
    expect(read(query)).toMatchObject(expected);
  });

  it.each([
    'offset=',
    'offset=-1&offset=-1',
    'offset=-2',
    'offset=NOW',
    'offset=1',
    'live=sse',
    'offset=-1&live=ws',
    'offset=9999999999999999_9999999999999999',
  ])('%j is refused', (query) => {
    expect(() => read(query)).toThrow(refused);
  });
});
