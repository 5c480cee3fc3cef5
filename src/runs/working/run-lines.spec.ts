import { linesOf } from './run-lines.js';

const texts = (input: string, from?: number) => [...linesOf(Buffer.from(input), from)].map((line) => line.toString());

describe('linesOf', () => {
  it('keeps terminators, carriage returns and a missing final newline', () => {
    expect(texts('a\r\nb\rc\n\nd')).toEqual(['a\r\n', 'b\rc\n', '\n', 'd']);
  });

  it('has no chunk for an empty input and no extra one after a final newline', () => {
    expect(texts('')).toEqual([]);
    expect(texts('a\n')).toEqual(['a\n']);
  });

  it('goes on at an index, also at and past the end', () => {
    expect(texts('a\nb\nc', 1)).toEqual(['b\n', 'c']);
    expect(texts('a\nb\nc', 3)).toEqual([]);
    expect(texts('a\nb\nc', 9)).toEqual([]);
  });

  it('gives back invalid UTF-8 byte for byte', () => {
    const input = Buffer.from([0xff, 0x0a, 0xc3, 0x28, 0x00]);
    expect(Buffer.concat([...linesOf(input)])).toEqual(input);
  });
});
