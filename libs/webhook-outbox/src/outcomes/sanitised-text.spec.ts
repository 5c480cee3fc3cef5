import { sanitisedText } from './sanitised-text.js';

describe('sanitisedText', () => {
  it('keeps words, and nothing that a database or a terminal would choke on', () => {
    expect(sanitisedText('plain ä€😀')).toBe('plain ä€😀');
    expect(sanitisedText('a\u0000b\u001b[31mc\r\n\td')).toBe('a b [31mc d');
    expect(sanitisedText('a\ud800b')).toBe('a\ufffdb');
  });

  it('cuts after 1 000 characters, also in the middle of a pair', () => {
    expect(sanitisedText('x'.repeat(5_000))).toHaveLength(1_000);
    expect(sanitisedText(`${'x'.repeat(999)}😀`)).toBe(`${'x'.repeat(999)}\ufffd`);
  });
});
