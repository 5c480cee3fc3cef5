import { badRequest } from './protocol-refusal.js';

/**
 * The messages of a JSON body: the elements of an array, one level deep, or the one value. Each is the text that was sent, byte for byte, since
 * numbers would not survive being parsed and written again. Pure.
 *
 * @throws ProtocolRefusal 400 for what is not JSON.
 */
export function jsonMessages(body: Uint8Array): readonly string[] {
  const text = decode(body);
  const value = parse(text);
  return Array.isArray(value) ? elementsOf(text) : [text.trim()];
}

/** Chunks as one JSON array. Pure. */
export function jsonArray(chunks: readonly { readonly data: Uint8Array }[]): string {
  const messages = chunks.filter(({ data }) => data.length > 0);
  return `[${messages.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')).join(',')}]`;
}

function decode(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw badRequest('the body is not UTF-8, as JSON must be.');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest('the body is not valid JSON.');
  }
}

/** Cuts a valid array at its commas; those inside strings, arrays and objects are not its own. */
function elementsOf(text: string): readonly string[] {
  const elements: string[] = [];
  let depth = 0;
  let isInString = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (isInString) {
      if (character === '\\') i++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === '[' || character === '{') {
      if (++depth === 1) start = i + 1;
    } else if (character === ']' || character === '}') {
      if (--depth === 0) elements.push(text.slice(start, i));
    } else if (character === ',' && depth === 1) {
      elements.push(text.slice(start, i));
      start = i + 1;
    }
  }
  const trimmed = elements.map((element) => element.trim());
  return trimmed.length === 1 && trimmed[0] === '' ? [] : trimmed;
}
