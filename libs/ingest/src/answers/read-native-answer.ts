import type { ParseFailure } from './match-failures.js';
import { type AttemptResult, field, impossible, readAttempt, type Reading } from './reading.js';

/** What an attempt with `size` documents on the native route means; pure. Only a complete 200 that can be true is success. */
export function readNativeAnswer(result: AttemptResult, size: number, nowMs: number): Reading {
  return readAttempt(result, nowMs, (body) => readAccepted(body, size));
}

/**
 * Old servers, and sinks that are no Quickwit, say nothing about documents: that counts as accepted. An answer that begins as JSON and is none
 * was cut off; counts that contradict the request belong to another one, or to a bug. Neither is success.
 */
function readAccepted(body: Buffer, size: number): Reading {
  const text = body.toString('utf8').trim();
  if (!text.startsWith('{')) return { kind: 'accepted', rejected: 0, failures: [] };
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return impossible('its answer is not complete');
  }
  const received = field(answer, 'num_docs_for_processing') ?? size;
  const rejected = field(answer, 'num_rejected_docs') ?? 0;
  if (!isCount(received) || !isCount(rejected)) return impossible('its counts are no counts');
  const ingested = field(answer, 'num_ingested_docs') ?? size - rejected;
  if (!isCount(ingested)) return impossible('its counts are no counts');
  if (received !== size || ingested + rejected !== size)
    return impossible(`it counted ${received} documents of ${size}, ${ingested} ingested, ${rejected} rejected`);
  const failures = parseFailures(field(answer, 'parse_failures'));
  if (failures.length > rejected) return impossible(`it names ${failures.length} failures of ${rejected}`);
  return { kind: 'accepted', rejected, failures };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseFailures(value: unknown): ParseFailure[] {
  if (!Array.isArray(value)) return [];
  return value.map((failure: unknown) => {
    const document = field(failure, 'document');
    return {
      reason: textOf(field(failure, 'reason'), 'unspecified'),
      message: textOf(field(failure, 'message'), ''),
      document: typeof document === 'string' ? document : undefined,
    };
  });
}

function textOf(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}
