import fc from 'fast-check';
import { expiryPattern, parseExpiryChannel } from './expiry-channel.js';
import { coversExpiry, mergeFlags } from './keyspace-flags.js';

describe('an expiry channel', () => {
  const ours = { service: 'a:b', partitions: 1024, database: 0 };

  it('gives back any partition and any name', () => {
    fc.assert(
      fc.property(fc.nat(1023), fc.string({ minLength: 1 }), fc.nat(15), (partition, dataStream, database) => {
        const channel = `__keyspace@${database}__:{a:b:${partition}/1024}:lease:${dataStream}`;
        expect(parseExpiryChannel(channel, { ...ours, database })).toEqual({ partition, dataStream });
        for (const others of [{ service: 'a' }, { database: database + 1 }, { partitions: 512 }])
          expect(parseExpiryChannel(channel, { ...ours, database, ...others })).toBeUndefined();
      }),
    );
  });

  it('never throws for the channels of others', () => {
    fc.assert(fc.property(fc.string(), (channel) => void parseExpiryChannel(channel, ours)));
  });

  it('is asked for with the glob characters of the name escaped', () => {
    expect(expiryPattern({ ...ours, service: 'a*?[x]^-\\' })).toBe(
      '__keyspace@0__:{a\\*\\?\\[x\\]\\^\\-\\\\:*/1024}:lease:*',
    );
  });
});

describe('the flags', () => {
  it.each([
    ['', false, 'Kx'],
    ['Kx', true, 'Kx'],
    ['AKE', true, 'AKE'],
    ['Ex', false, 'ExK'],
    ['gE$lshz', false, 'gE$lshzKx'],
    ['AE', false, 'AEK'],
  ])('%j cover expiry: %s, and become %j', (flags, isCovered, merged) => {
    expect(coversExpiry(flags)).toBe(isCovered);
    expect(mergeFlags(flags)).toBe(merged);
    expect(coversExpiry(mergeFlags(flags))).toBe(true);
  });
});
