/**
 * A document as one line of NDJSON, without its line break.
 *
 * JSON's rules decide: NaN, infinities and invalid dates become null, `undefined` fields and functions vanish, maps and sets become `{}`, line
 * breaks in texts and lone surrogates are escaped. What is no JSON object at the top is refused here, since the server could only reject it.
 *
 * @throws whatever a getter or `toJSON` throws; a TypeError for BigInt, cycles and what is no object.
 */
export function encodeDocument(doc: unknown): string {
  const line = JSON.stringify(doc) as string | undefined;
  if (line === undefined) throw new TypeError(`a document must be an object; ${typeof doc} has no JSON`);
  if (!line.startsWith('{')) throw new TypeError('a document must become a JSON object');
  return line;
}
