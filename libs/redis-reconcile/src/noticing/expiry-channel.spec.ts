import fc from 'fast-check';
import { expiryPattern, parseExpiryChannel } from './expiry-channel.js';
import { coversExpiry, mergeFlags } from './keyspace-flags.js';

describe('an expiry channel', () => {
  it('gives back any partition and any name', () => {
    fc.assert(
      fc.property(fc.nat(1023), fc.string({ minLength: 1 }), fc.nat(15), (partition, dataStream, database) => {
        const channel = `__keyspace@${database}__:{a:b:${partition}}:lease:${dataStream}`;
        expect(parseExpiryChannel(channel, 'a:b', database)).toEqual({ partition, dataStream });
        expect(parseExpiryChannel(channel, 'a', database)).toBeUndefined();
        expect(parseExpiryChannel(channel, 'a:b', database + 1)).toBeUndefined();
      }),
    );
  });

  it('never throws for the channels of others', () => {
    fc.assert(fc.property(fc.string(), (channel) => void parseExpiryChannel(channel, 'a', 0)));
  });

  it('is asked for with the glob characters of the name escaped', () => {
    expect(expiryPattern('a*?[x]^-\\', 0)).toBe('__keyspace@0__:{a\\*\\?\\[x\\]\\^\\-\\\\:*}:lease:*');
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
