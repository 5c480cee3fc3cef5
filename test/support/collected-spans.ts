import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context,
  context,
  type ContextManager,
  ROOT_CONTEXT,
  type Span,
  trace,
  type TracerProvider,
} from '@opentelemetry/api';
import {
  BasicTracerProvider,
  type ReadableSpan,
  type Sampler,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base';

/** What `@opentelemetry/context-async-hooks` does, as far as our tests need it. */
class AsyncContexts implements ContextManager {
  private readonly storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    around: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.storage.run(around, () => fn.call(thisArg, ...args));
  }

  bind<T>(_around: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.storage.disable();
    return this;
  }
}

/** OpenTelemetry's SDK, registered as an application would, and the spans that ended. */
export class CollectedSpans {
  readonly ended: ReadableSpan[] = [];
  private readonly provider: BasicTracerProvider;

  private constructor(sampler: Sampler | undefined) {
    const processor: SpanProcessor = {
      onStart: () => undefined,
      onEnd: (span) => void this.ended.push(span),
      forceFlush: async () => undefined,
      shutdown: async () => undefined,
    };
    this.provider = new BasicTracerProvider({
      spanProcessors: [processor],
      ...(sampler === undefined ? {} : { sampler }),
    });
  }

  static register({ sampler }: { readonly sampler?: Sampler } = {}): CollectedSpans {
    const collected = new CollectedSpans(sampler);
    context.setGlobalContextManager(new AsyncContexts());
    trace.setGlobalTracerProvider(collected.provider);
    return collected;
  }

  /** Those of one of our packages, in the order in which they ended. */
  of(packageName: string): ReadableSpan[] {
    return this.ended.filter(({ instrumentationScope }) => instrumentationScope.name === packageName);
  }

  /** Runs `fn` as a request of the application would run, and tells which span that was. */
  async inCaller<T>(name: string, fn: () => Promise<T>): Promise<{ readonly caller: Span; readonly value: T }> {
    return trace.getTracer('application').startActiveSpan(name, async (caller) => {
      try {
        return { caller, value: await fn() };
      } finally {
        caller.end();
      }
    });
  }

  /** Everything that an exporter could send of them. */
  text(): string {
    return JSON.stringify(
      this.ended.map(({ name, attributes, links, events, status, resource }) => ({
        name,
        attributes,
        links,
        events,
        status,
        resource: resource.attributes,
      })),
    );
  }

  async unregister(): Promise<void> {
    trace.disable();
    context.disable();
    await this.provider.shutdown();
  }
}

/** An SDK one of whose methods throws; all others do nothing. */
export function brokenTracerProvider(method: string): TracerProvider {
  const inert: unknown = new Proxy(
    {},
    {
      get: (_target, name) => () => {
        if (name === method) throw new Error(`${method} is broken`);
        return inert;
      },
    },
  );
  return inert as TracerProvider;
}
