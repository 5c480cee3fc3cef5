import { matchFailures } from './match-failures.js';

const matched = (lines: string[], documents: (string | undefined)[]) => [
  ...matchFailures(
    lines.length,
    (line) => Buffer.from(lines[line] ?? ''),
    documents.map((document) => ({ reason: 'invalid_schema', message: '', document })),
  ).keys(),
];

describe('matchFailures', () => {
  it('takes identical documents as interchangeable, each as often as it is named', () => {
    expect(matched(['{"a":1}', '{"b":1}', '{"a":1}', '{"a":1}'], ['{"a":1}', '{"a":1}'])).toEqual([0, 2]);
  });

  it('compares bytes, not meaning', () => {
    expect(matched(['{"a":1}', '{"é":1}'], ['{ "a": 1 }', '{"é":1}', '{"e":1}'])).toEqual([1]);
  });

  it('matches nothing to failures without a document, or named too often', () => {
    expect(matched(['{"a":1}'], [undefined, '{"a":1}', '{"a":1}'])).toEqual([0]);
  });
});
