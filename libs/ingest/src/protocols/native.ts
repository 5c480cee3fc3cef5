import { readNativeAnswer } from '../answers/read-native-answer.js';
import type { AttemptResult, Reading } from '../answers/reading.js';
import { quickwitIndexProblem } from './index-names.js';
import type { IngestProtocol, ProtocolRequest } from './ingest-protocol.js';

/** Quickwit's own `POST /api/v1/<index>/ingest`: lines of documents and nothing else. It knows no ids. */
export class NativeProtocol implements IngestProtocol {
  readonly name = 'native';
  readonly hasDetails = true;

  path({ basePath, index, commit, detailed }: ProtocolRequest): string {
    const query = new URLSearchParams();
    if (commit !== 'auto') query.set('commit', commit);
    if (detailed) query.set('detailed_response', 'true');
    const path = `${basePath}/api/v1/${encodeURIComponent(index)}/ingest`;
    return query.size === 0 ? path : `${path}?${query.toString()}`;
  }

  head(): string {
    return '';
  }

  read(result: AttemptResult, size: number, nowMs: number): Reading {
    return readNativeAnswer(result, size, nowMs);
  }

  indexProblem(index: string): string | undefined {
    return quickwitIndexProblem(index);
  }
}
