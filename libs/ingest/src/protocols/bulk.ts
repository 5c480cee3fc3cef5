import { readBulkAnswer } from '../answers/read-bulk-answer.js';
import type { AttemptResult, Reading } from '../answers/reading.js';
import type { Commit } from '../batching/batch.js';
import { elasticIndexProblem, quickwitIndexProblem } from './index-names.js';
import type { IngestProtocol, ProtocolRequest } from './ingest-protocol.js';

const REFRESH: Readonly<Record<Commit, string>> = { auto: '', wait_for: '?refresh=wait_for', force: '?refresh=true' };

/** Where a Quickwit speaks the language of Elasticsearch: `http://host:7280/api/v1/_elastic`, or without the version. */
const QUICKWIT_PATH = /(^|\/)_elastic$/;

/**
 * `POST /<index>/_bulk` of Elasticsearch, OpenSearch and, below `/api/v1/_elastic`, Quickwit. The action is always `create`: data streams take no
 * other, and a document that is there under its id is left alone.
 */
export class BulkProtocol implements IngestProtocol {
  readonly name = 'bulk';
  readonly hasDetails = false;

  constructor(private readonly hasIds: boolean) {}

  path({ basePath, index, commit }: ProtocolRequest): string {
    return `${basePath}/${encodeURIComponent(index)}/_bulk${REFRESH[commit]}`;
  }

  head(id: string | undefined): string {
    return id === undefined ? '{"create":{}}\n' : `{"create":{"_id":${JSON.stringify(id)}}}\n`;
  }

  read(result: AttemptResult, size: number, nowMs: number): Reading {
    return readBulkAnswer(result, size, nowMs, this.hasIds);
  }

  /** Quickwit takes capitals and wants three characters; a name that it does not take it answers without a verdict, for ever. */
  indexProblem(index: string, basePath = ''): string | undefined {
    return QUICKWIT_PATH.test(basePath) ? quickwitIndexProblem(index) : elasticIndexProblem(index);
  }
}
