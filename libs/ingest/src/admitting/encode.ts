/** Any escape, so that none is looked for within another one. Half a surrogate pair is all that JSON.stringify escapes by a code in D000 to DFFF. */
const ESCAPE = /\\(?:ud[0-9a-f]{3}|.)/g;

/**
 * A document as one line of NDJSON, without its line break.
 *
 * JSON's rules decide: NaN, infinities and invalid dates become null, `undefined` fields and functions vanish, maps and sets become `{}`, line
 * breaks in texts are escaped. Half a surrogate pair, as a text has that was cut within an emoji, becomes U+FFFD: the server's parser refuses
 * the escape that JSON.stringify makes of it, and with it the document. What is no JSON object at the top is refused here, since the server
 * could only reject it.
 *
 * @throws whatever a getter or `toJSON` throws; a TypeError for BigInt, cycles and what is no object.
 */
export function encodeDocument(doc: unknown): string {
  const line = JSON.stringify(doc) as string | undefined;
  if (line === undefined) throw new TypeError(`a document must be an object; ${typeof doc} has no JSON`);
  if (!line.startsWith('{')) throw new TypeError('a document must become a JSON object');
  return line.includes('\\ud') ? line.replace(ESCAPE, (escape) => (escape.length === 2 ? escape : '\ufffd')) : line;
}
