import { gunzipSync } from 'node:zlib';
import { type IngestOptions, IngestService, resolveIngestOptions } from '@nest-baton/ingest';
import { FakeQuickwit, type FakeQuickwitOptions, hintsUnderTest, type IngestRequest } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';

export const INDEX = 'app-logs';

Logger.overrideLogger(false);

const started: { stop(): Promise<unknown> }[] = [];

/** Call in `afterEach`: ends everything that was started here, services first. */
export async function stopAll(): Promise<void> {
  for (const one of started.splice(0).reverse()) await one.stop();
}

export async function startSink(options: FakeQuickwitOptions = {}): Promise<FakeQuickwit> {
  const sink = await FakeQuickwit.start(options);
  started.push(sink);
  return sink;
}

/** A service with retries fast enough for a test; closed without waiting in `stopAll`. */
export function startIngest<Doc = Record<string, unknown>>(
  url: string,
  options: Partial<IngestOptions> = {},
): IngestService<Doc> {
  const retry = { base: 5, factor: 1.5, cap: 50 };
  const hints = hintsUnderTest();
  // Without kicks everything leaves by its age.
  const pace = hints === 'off' ? { hints, maxDelay: 20 } : {};
  const service = new IngestService<Doc>(resolveIngestOptions({ url, index: INDEX, retry, ...pace, ...options }));
  started.push({ stop: () => service.close({ timeout: 0 }) });
  return service;
}

export function docs(count: number, from = 0): { readonly id: number }[] {
  return Array.from({ length: count }, (_, i) => ({ id: from + i }));
}

export function ids(sink: FakeQuickwit): unknown[] {
  return sink.documents(INDEX).map(({ id }) => id);
}

/** The records of a request, decompressed. */
export function records(request: IngestRequest): Record<string, unknown>[] {
  return text(request)
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function text({ body, headers }: IngestRequest): string {
  return (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8');
}

/** What a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  const nothing = Symbol('nothing');
  const error: unknown = await promise.then(
    () => nothing,
    (reason: unknown) => reason,
  );
  if (error === nothing) throw new Error('it was expected to reject');
  return error as Record<string, unknown>;
}
