import { checkDestination } from './destination.js';

const STRICT = { allowHttp: false, allowAddresses: [] };
const HTTP = { allowHttp: true, allowAddresses: [] };

describe('which URLs may be sent to', () => {
  it('takes https, and http only where it is allowed', () => {
    expect(checkDestination('https://example.com/a?b=c', STRICT)).toHaveProperty('url');
    expect(checkDestination('http://example.com/', STRICT)).toHaveProperty('refused');
    expect(checkDestination('http://example.com/', HTTP)).toHaveProperty('url');
    expect(checkDestination('https://8.8.8.8/', STRICT)).toHaveProperty('url');
  });

  it.each(['ftp://example.com/', 'file:///etc/passwd', 'javascript:1', 'unix:/socket', '', 'example.com', 'https://'])(
    'refuses %s',
    (url) => expect(checkDestination(url, HTTP)).toHaveProperty('refused'),
  );

  it('bounds the URL as it is sent, not as it is typed', () => {
    const url = (length: number, character: string) => `https://example.com/${character.repeat(length - 20)}`;
    expect(checkDestination(url(2_048, 'a'), STRICT)).toHaveProperty('url');
    expect(checkDestination(url(2_049, 'a'), STRICT)).toHaveProperty('refused');
    // Nine characters each, so that whatever is taken is taken again when it is sent to.
    expect(checkDestination(url(300, '€'), STRICT)).toHaveProperty('refused');
    expect(checkDestination(url(200, '€'), STRICT)).toHaveProperty('url');
  });

  it('refuses credentials, and never repeats them', () => {
    const answer = checkDestination('https://user:geheim@example.com/', STRICT);
    expect(answer).toHaveProperty('refused');
    expect(JSON.stringify(answer)).not.toContain('geheim');
  });

  it.each([
    '127.0.0.1',
    '127.0.0.1.',
    '2130706433',
    '0x7f.1',
    '0x7f000001',
    '017700000001',
    '127.1',
    '0',
    '１２７.０.０.１',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '127.0.1',
    '０x7f.1',
    '127。0。0。1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '3232235777',
    '100.64.0.1',
    '192.0.0.8',
    '192.88.99.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '[::127.0.0.1]',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:10.0.0.1]',
    '[fe80::1]',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[ff02::1]',
    '[100::1]',
    '[5f00::1]',
    '[3fff::1]',
    '[2001:db8::1]',
    '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
    '[64:ff9b:1::a9fe:a9fe]',
    '[4000::1]',
  ])('refuses the address %s in whatever spelling', (host) => {
    expect(checkDestination(`https://${host}/`, STRICT)).toHaveProperty('refused');
  });

  it.each([
    '[fe80::1%25eth0]',
    '[::1',
    '%2Fvar%2Frun%2Fdocker.sock',
    'a b',
    '127.0.0.1.5',
    '256.1.1.1',
    '0x7f.1.1.1.1',
  ])('refuses %s, which is no host', (host) =>
    expect(checkDestination(`https://${host}/`, STRICT)).toHaveProperty('refused'),
  );

  it('takes 443, 80 only where http is allowed, and ports from 1 024 on that no other service is known by', () => {
    for (const url of ['https://example.com:443/', 'https://example.com:8443/', 'https://example.com:65535/'])
      expect(checkDestination(url, STRICT)).toHaveProperty('url');
    for (const url of ['http://example.com/', 'http://example.com:80/', 'http://example.com:8080/'])
      expect(checkDestination(url, HTTP)).toHaveProperty('url');
    expect(checkDestination('https://example.com:80/', STRICT)).toHaveProperty('refused');
  });

  it.each([
    0, 1, 21, 22, 23, 25, 53, 111, 389, 445, 465, 587, 1023, 2049, 2375, 2379, 3306, 5432, 6379, 6667, 9200, 10250,
    11211, 27017,
  ])('refuses the port %i, also at an address that is allowed', (port) => {
    const rules = { allowHttp: true, allowAddresses: ['127.0.0.0/8'] };
    for (const host of ['example.com', '127.0.0.1'])
      expect(checkDestination(`https://${host}:${port}/`, rules)).toHaveProperty('refused');
  });

  it("drops the fragment, which is nobody else's business", () => {
    const answer = checkDestination('https://example.com/a#b', STRICT);
    expect('url' in answer && answer.url.href).toBe('https://example.com/a');
  });
});
