import { checkEndpoint } from './endpoint-check.js';
import type { NewEndpoint } from './endpoint.js';

const RULES = { allowHttp: false, allowAddresses: [] };
const check = (more: Partial<NewEndpoint>) => checkEndpoint({ url: 'https://example.com/hook', ...more }, RULES);

describe('checkEndpoint', () => {
  it('fills in what is left out', () => {
    expect(check({})).toEqual({
      url: 'https://example.com/hook',
      types: ['*'],
      tenant: '',
      headers: {},
      legacySignature: null,
      signatures: ['v1'],
      limits: { scheduleMs: undefined, maxInFlight: undefined, rate: undefined, globalMaxInFlight: undefined },
      order: { order: 'none', onDead: null },
      secret: undefined,
    });
  });

  it.each([
    'content-type',
    'Content-Length',
    'HOST',
    'webhook-id',
    'Webhook-Signature',
    'webhook-anything',
    'connection',
    'transfer-encoding',
    'expect',
    'a b',
    'a\r\nb',
    '',
  ])('refuses the header %j', (name) => {
    expect(() => check({ headers: { [name]: 'x' } })).toThrow(expect.objectContaining({ code: 'ENDPOINT_INVALID' }));
  });

  it('refuses header values that would begin another header, names that differ in case only, and too much of it', () => {
    const refused: Record<string, string>[] = [
      { x: 'a\r\nhost: b' },
      { x: 'a\u0000' },
      { x: 1 as never },
      { X: '1', x: '2' },
      { x: 'y'.repeat(9_000) },
      new Map([['x', 'y']]) as never,
      ['x'] as never,
      'x' as never,
    ];
    for (const headers of refused)
      expect(() => check({ headers })).toThrow(expect.objectContaining({ code: 'ENDPOINT_INVALID' }));
    expect(check({ headers: { Authorization: 'Bearer t' } }).headers).toEqual({ authorization: 'Bearer t' });
  });

  it('refuses types, tenants and secrets that cannot be, and never shows the secret', () => {
    const refused: Partial<NewEndpoint>[] = [
      { types: [] },
      { types: ['with space'] },
      { types: ['%'] },
      { types: 'a' as never },
      { types: [1n as never] },
      { types: ['x'.repeat(129)] },
      { tenant: 'a\0' },
      { tenant: 'a\ud800' },
      { tenant: 'a'.repeat(257) },
      { tenant: null as never },
      { legacySignature: { scheme: 'hex', header: 1n as never, secret: 'long enough' } },
      { url: 'https://10.0.0.1/' },
      { url: undefined },
    ];
    for (const more of refused)
      expect(() => check(more)).toThrow(expect.objectContaining({ code: 'ENDPOINT_INVALID' }));
    expect(() => check({ secret: 'whsec_geheim' })).toThrow(
      expect.objectContaining({ code: 'ENDPOINT_INVALID', message: expect.not.stringContaining('geheim') }),
    );
  });
});
