export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

/** Type and subtype, in lower case, without parameters. Pure. */
export function mediaTypeOf(contentType: string): string {
  const [type = ''] = contentType.split(';', 1);
  return type.trim().toLowerCase();
}

/** Something like `type/subtype`, with or without parameters, in at most 200 characters that a header can carry. Pure. */
export function isContentType(contentType: string): boolean {
  if (contentType.length > 200 || !/^[\t\x20-\x7e]+$/.test(contentType)) return false;
  return /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(mediaTypeOf(contentType));
}

/** Chunks are messages of their own, and bodies are arrays of them. Pure. */
export function isJson(contentType: string): boolean {
  return mediaTypeOf(contentType) === 'application/json';
}

/** Carried by server-sent events as it is; anything else as base64. Pure. */
export function isText(contentType: string): boolean {
  return mediaTypeOf(contentType).startsWith('text/') || isJson(contentType);
}
