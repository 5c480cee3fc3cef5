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
  ])('refuses the address %s in whatever spelling', (host) => {
    expect(checkDestination(`https://${host}/`, STRICT)).toHaveProperty('refused');
  });

  it("drops the fragment, which is nobody else's business", () => {
    const answer = checkDestination('https://example.com/a#b', STRICT);
    expect('url' in answer && answer.url.href).toBe('https://example.com/a');
  });
});
