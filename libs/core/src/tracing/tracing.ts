import {
  type Attributes,
  context,
  type Context,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  trace,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api';
import { errorType } from './error-type.js';
import { OpenSpan, unharmed } from './open-span.js';
import { spanLinks } from './span-links.js';

export interface SpanDescription {
  /** Default `INTERNAL`. */
  readonly kind?: SpanKind | undefined;
  /** Given at the beginning, where samplers see them. Never a payload, a secret or a query string. */
  readonly attributes?: Attributes | undefined;
  /**
   * - `active` (default): the span that is active here.
   * - a context that was stored with a row or an entry: the span goes on with that trace.
   * - `none`: a trace of its own, for work done for many. What runs here runs in the context of whoever happened to start it, so nothing of
   *   that is taken over, baggage included.
   */
  readonly parent?: 'active' | 'none' | SpanContext | undefined;
  /** For whom else this is done: the first `MAX_LINKS`, each once; `baton.links.omitted` counts the others. */
  readonly links?: Iterable<SpanContext> | undefined;
}

/** Whose spans: a lib's `MetricTable` will do. */
export interface TracingScope {
  /** The package, which is also the name of its tracer. */
  readonly package: `@nest-baton/${string}`;
  readonly version: string;
}

const NO_SPAN = new OpenSpan();

/**
 * The OpenTelemetry spans of one instance of a lib; each carries `baton.instance`.
 *
 * - No-op without an SDK. One that is registered later is seen by the next span, also when another copy of the API registers it, or when it
 *   takes the place of one that was shut down.
 * - Nothing here throws, whatever the SDK does.
 */
export class Tracing {
  private provider: TracerProvider | undefined;
  private tracer: Tracer | undefined;

  constructor(
    private readonly scope: TracingScope,
    private readonly instance: string,
  ) {}

  /**
   * False: no SDK is registered and no context is active, so a span would do nothing at all. For hot paths, where even describing one costs more
   * than what it is about.
   */
  get isHeeded(): boolean {
    try {
      const provider = trace.getTracerProvider();
      // Another one belongs to an SDK, or to another copy of the API.
      if (!(provider instanceof ProxyTracerProvider)) return true;
      const { package: name, version } = this.scope;
      return provider.getDelegateTracer(name, version) !== undefined || context.active() !== ROOT_CONTEXT;
    } catch {
      return true;
    }
  }

  /** Call `end()` on it, come what may; `inSpan` does. */
  begin(
    name: string,
    { kind = SpanKind.INTERNAL, attributes, parent, links: others = [] }: SpanDescription = {},
  ): OpenSpan {
    const begun = unharmed(() => {
      const around = contextOf(parent);
      const { links, omitted } = spanLinks(others);
      const own = { 'baton.instance': this.instance, ...attributes };
      const all = omitted === 0 ? own : { ...own, 'baton.links.omitted': omitted };
      const span = this.currentTracer().startSpan(name, { kind, attributes: all, links }, around);
      return new OpenSpan(span, trace.setSpan(around, span));
    });
    return begun ?? NO_SPAN;
  }

  /** Runs `fn` in a span that ends with it; resolves and rejects as it does. */
  async inSpan<T>(name: string, description: SpanDescription, fn: () => Promise<T> | T): Promise<T> {
    const span = this.begin(name, description);
    try {
      const value = await span.run(fn);
      span.end();
      return value;
    } catch (error) {
      span.end({ errorType: errorType(error) });
      throw error;
    }
  }

  /** A tracer stays with its provider for good, so it is the provider that is asked for each time; that costs a look-up. */
  private currentTracer(): Tracer {
    const provider = trace.getTracerProvider();
    if (this.tracer !== undefined && provider === this.provider) return this.tracer;
    this.provider = provider;
    return (this.tracer = provider.getTracer(this.scope.package, this.scope.version));
  }
}

function contextOf(parent: SpanDescription['parent']): Context {
  switch (parent) {
    case undefined:
    case 'active':
      return context.active();
    case 'none':
      return ROOT_CONTEXT;
    default:
      return trace.setSpanContext(ROOT_CONTEXT, parent);
  }
}
