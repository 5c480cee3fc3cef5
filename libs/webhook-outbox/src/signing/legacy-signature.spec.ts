import { checkLegacySignature, legacyHeaders, type LegacySignature } from './legacy-signature.js';

const GIVEN: LegacySignature = { scheme: 'sha256-hex', header: 'X-Sig', secret: "It's a Secret to Everybody" };

describe('a legacy signature', () => {
  it.each([
    // The example in GitHub's documentation of X-Hub-Signature-256.
    ['sha256-hex', 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'],
    ['hex', '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'],
    ['base64', 'dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc='],
    ['timestamped', 't=1700000000,v1=76c83fd0acdf22faed320674fe8e04d528cfe8a17905e720a9611e40677c03b7'],
  ] as const)('%s is written as its receivers know it', (scheme, expected) => {
    const request = { type: 'a.b', body: 'Hello, World!' };
    const legacy = checkLegacySignature({ ...GIVEN, scheme, timestampHeader: 'X-At', typeHeader: 'X-Event' });
    expect(legacyHeaders(legacy as LegacySignature, request, 1_700_000_000)).toEqual({
      'x-sig': expected,
      'x-at': '1700000000',
      'x-event': 'a.b',
    });
  });

  it('adds no header that was not asked for', () => {
    const headers = legacyHeaders(GIVEN, { type: 'a', body: '{}' }, 1);
    expect(Object.keys(headers)).toEqual(['X-Sig']);
  });

  it.each([
    null,
    'x-sig',
    { ...GIVEN, scheme: 'md5' },
    { ...GIVEN, header: undefined },
    { ...GIVEN, header: 'a\r\nhost: b' },
    { ...GIVEN, header: 'a b' },
    { ...GIVEN, header: '' },
    { ...GIVEN, header: 'Webhook-Signature' },
    { ...GIVEN, header: 'host' },
    { ...GIVEN, header: 5 },
    { ...GIVEN, timestampHeader: 'content-length' },
    { ...GIVEN, typeHeader: 'a\0' },
    { ...GIVEN, timestampHeader: 'x-sig' },
    { ...GIVEN, timestampHeader: 'x-a', typeHeader: 'X-A' },
    { ...GIVEN, secret: 'short' },
    { ...GIVEN, secret: 'x'.repeat(513) },
    { ...GIVEN, secret: 12_345_678 },
    { ...GIVEN, sekret: 'geheim' },
  ])('is refused: %j', (given) => {
    const checked = checkLegacySignature(given as never);
    expect(checked).toHaveProperty('refused');
    expect(JSON.stringify(checked)).not.toMatch(/Everybody|geheim|short/);
  });
});
