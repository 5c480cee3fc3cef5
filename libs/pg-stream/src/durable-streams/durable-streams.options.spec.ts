import { resolveDurableStreamsOptions } from './durable-streams.options.js';

describe('resolveDurableStreamsOptions', () => {
  it('has a default for everything', () => {
    expect(resolveDurableStreamsOptions({})).toEqual({
      authorize: undefined,
      token: undefined,
      contentType: 'application/octet-stream',
      longPollTimeoutMs: 20_000,
      sseLifetimeMs: 60_000,
      heartbeatMs: 15_000,
      maxBodyBytes: 1_048_576,
      cacheScope: 'private',
      resourcePolicy: 'same-origin',
      sweepIntervalMs: 60_000,
    });
  });

  it.each<[object, RegExp]>([
    [{ token: 'short' }, /token must have at least 16 characters/],
    [{ contentType: 'text' }, /contentType must be a media type/],
    [{ longPollTimeout: 0 }, /longPollTimeout/],
    [{ sseLifetime: '2d' }, /sseLifetime/],
    [{ maxBodyBytes: 0 }, /maxBodyBytes/],
    [{ cacheScope: 'shared' }, /cacheScope/],
    [{ authorize: true }, /authorize/],
    [{ tokn: 'x' }, /token/],
  ])('refuses %j', (options, message) => {
    expect(() => resolveDurableStreamsOptions(options)).toThrow(message);
  });
});
