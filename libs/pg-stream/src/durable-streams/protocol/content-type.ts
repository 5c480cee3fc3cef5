export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

/** Type and subtype, in lower case, without parameters. Pure. */
export function mediaTypeOf(contentType: string): string {
  const [type = ''] = contentType.split(';', 1);
  return type.trim().toLowerCase();
}

/** Something like `type/subtype`, in at most 200 characters. Pure. */
export function isContentType(contentType: string): boolean {
  return contentType.length <= 200 && /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(mediaTypeOf(contentType));
}

/** Chunks are messages of their own, and bodies are arrays of them. Pure. */
export function isJson(contentType: string): boolean {
  return mediaTypeOf(contentType) === 'application/json';
}

/** Carried by server-sent events as it is; anything else as base64. Pure. */
export function isText(contentType: string): boolean {
  return mediaTypeOf(contentType).startsWith('text/') || isJson(contentType);
}
