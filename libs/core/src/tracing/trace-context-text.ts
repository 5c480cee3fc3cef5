import { createTraceState, isSpanContextValid, type SpanContext } from '@opentelemetry/api';

/**
 * A span context as text, to be stored with a row or an entry: W3C Trace Context, whatever propagator the application has registered, since
 * another process, version or configuration reads it.
 */
export interface TraceContextText {
  /** 55 characters. */
  readonly traceparent: string;
  /** At most `MAX_TRACESTATE_LENGTH` characters of printable ASCII. */
  readonly tracestate: string | undefined;
}

export const TRACEPARENT_LENGTH = 55;

/** As the API of OpenTelemetry: what is longer is read as none. The specification asks for no more. */
export const MAX_TRACESTATE_LENGTH = 512;

/** Versions after 00 may say more; nobody's is longer. */
const MAX_READ_LENGTH = 256;

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-|$)/;

/** Flags that are defined: sampled, and random trace id. */
const KNOWN_FLAGS = 0b11;

/**
 * `undefined` for a context that is no valid one. What it returns, `readTraceContext` reads. Vendors' `tracestate` is left out when it is too
 * long. Never throws.
 */
export function writeTraceContext(context: SpanContext | undefined): TraceContextText | undefined {
  if (context === undefined) return undefined;
  const flags = (context.traceFlags & KNOWN_FLAGS).toString(16).padStart(2, '0');
  const traceparent = `00-${context.traceId}-${context.spanId}-${flags}`;
  return readTraceContext(traceparent) && { traceparent, tracestate: tracestateOf(context) };
}

/** `undefined` for anything that is no valid `traceparent`. A `tracestate` that is none is ignored, as the specification asks. Never throws. */
export function readTraceContext(traceparent: unknown, tracestate?: unknown): SpanContext | undefined {
  if (typeof traceparent !== 'string' || traceparent.length > MAX_READ_LENGTH) return undefined;
  const [, version, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  // 00 ends after its flags; ff is no version.
  if (version === 'ff' || (version === '00' && traceparent.length !== TRACEPARENT_LENGTH)) return undefined;
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & KNOWN_FLAGS, isRemote: true };
  if (!isSpanContextValid(context)) return undefined;
  if (typeof tracestate !== 'string' || tracestate.length > MAX_TRACESTATE_LENGTH) return context;
  const traceState = createTraceState(tracestate);
  return traceState.serialize() === '' ? context : { ...context, traceState };
}

function tracestateOf({ traceState }: SpanContext): string | undefined {
  try {
    const text: unknown = traceState?.serialize();
    return typeof text === 'string' && /^[ -~]+$/.test(text) && text.length <= MAX_TRACESTATE_LENGTH ? text : undefined;
  } catch {
    return undefined;
  }
}
