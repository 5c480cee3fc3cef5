/** What a path leads to. */
export type Route =
  | { readonly kind: 'native'; readonly index: string }
  | { readonly kind: 'bulk'; readonly index: string | undefined }
  /** Elasticsearch's alone. */
  | { readonly kind: 'refresh'; readonly index: string | undefined }
  | { readonly kind: 'health'; readonly which: 'livez' | 'readyz' }
  | { readonly kind: 'info' }
  | { readonly kind: 'none' };

const NATIVE = /^\/api\/v1\/([^/]+)\/ingest$/;
/** Quickwit's own place, and where clients of Elasticsearch look when they are given a prefix or none. */
const BULK = /^(?:(?:\/api\/v1)?\/_elastic)?(?:\/([^/]+))?\/_bulk$/;
const REFRESH = /^(?:\/([^/]+))?\/_refresh$/;
const HEALTH = /^\/health\/(livez|readyz)$/;
const INFO = /^(?:(?:\/api\/v1)?\/_elastic)?\/?$/;

/** Pure. */
export function routeOf(pathname: string): Route {
  const native = NATIVE.exec(pathname)?.[1];
  if (native !== undefined) return { kind: 'native', index: decoded(native) };
  const bulk = BULK.exec(pathname);
  if (bulk !== null) return { kind: 'bulk', index: bulk[1] === undefined ? undefined : decoded(bulk[1]) };
  const refresh = REFRESH.exec(pathname);
  if (refresh !== null) return { kind: 'refresh', index: refresh[1] === undefined ? undefined : decoded(refresh[1]) };
  const which = HEALTH.exec(pathname)?.[1];
  if (which === 'livez' || which === 'readyz') return { kind: 'health', which };
  return { kind: INFO.test(pathname) ? 'info' : 'none' };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
