import { errorCode } from '@nest-baton/core';
import type { ProducerFencedError, ProducerSeqGapError } from '../../pg-stream.errors.js';
import type { PgStreamService } from '../../pg-stream.service.js';
import type { Producer } from '../../writing/append-options.js';
import { isJson, mediaTypeOf } from '../protocol/content-type.js';
import { jsonMessages } from '../protocol/json-messages.js';
import { badRequest, conflict, ProtocolRefusal } from '../protocol/protocol-refusal.js';
import { headerOf, isClosing, producerOf } from '../protocol/request-headers.js';
import type { DurableStorage, StorageTransaction } from '../storing/durable-storage.js';
import type { StreamRecord } from '../storing/stream-record.js';
import { type Answer, closedHeader, offsetHeader, type ProtocolRequest } from './answer.js';

interface Written {
  readonly nextIndex: number;
  readonly isClosed: boolean;
  /** The producer had written this request already. */
  readonly isDuplicate: boolean;
}

/**
 * POST: appends, closes, or both, in one transaction under the stream's lock. What is answered with success is committed, all of it; of a
 * producer's repeated request nothing is written again.
 */
export class Appending {
  constructor(
    private readonly streams: PgStreamService,
    private readonly storage: DurableStorage,
  ) {}

  /** @throws ProtocolRefusal 400, 403 for a fenced producer, 404, 409, 410 */
  async append(request: ProtocolRequest): Promise<Answer> {
    const producer = producerOf(request.headers);
    const closing = isClosing(request.headers);
    const found = await this.storage.get(request.stream);
    const chunks = this.chunksOf(request, found, closing, producer !== undefined);
    const written = await this.explained(found, producer, () =>
      this.storage.transaction((transaction) => this.write(transaction, request, { found, chunks, closing, producer })),
    );
    return {
      status: producer !== undefined && chunks.length > 0 && !written.isDuplicate ? 200 : 204,
      headers: {
        ...offsetHeader(found, written.nextIndex),
        ...closedHeader(written.isClosed),
        ...(await this.producerHeaders(found.name, producer, written)),
      },
    };
  }

  private async write(
    transaction: StorageTransaction,
    request: ProtocolRequest,
    asked: {
      readonly found: StreamRecord;
      readonly chunks: readonly (string | Uint8Array)[];
      readonly closing: boolean;
      readonly producer: Producer | undefined;
    },
  ): Promise<Written> {
    const { chunks, closing, producer } = asked;
    const record = await this.storage.lock(transaction, asked.found);
    const { name } = record;
    const isClosed = record.status !== 'open';
    await this.storage.records.touch(transaction, record);
    if (chunks.length === 0) {
      // A stream that is closed stays as it is, however it was closed.
      if (!isClosed) await this.streams.closeStream(name, { transaction, ...(producer !== undefined && { producer }) });
      return { nextIndex: record.nextIndex, isClosed: true, isDuplicate: false };
    }
    const numbered = producer === undefined ? {} : { producer };
    const { lastIndex, duplicate } = await this.streams.appendMany(name, chunks, { transaction, ...numbered });
    if (duplicate) return { nextIndex: record.nextIndex, isClosed, isDuplicate: true };
    const seq = headerOf(request.headers, 'stream-seq');
    if (seq !== undefined && !(await this.storage.records.advanceSeq(transaction, record, seq)))
      throw conflict('Stream-Seq must come after that of the last append.');
    if (closing) await this.streams.closeStream(name, { transaction });
    return { nextIndex: lastIndex + 1, isClosed: closing, isDuplicate: false };
  }

  /** In the protocol's order: a stream that is closed says so before it minds the content type. */
  private chunksOf(
    { body, headers }: ProtocolRequest,
    record: StreamRecord,
    closing: boolean,
    hasProducer: boolean,
  ): readonly (string | Uint8Array)[] {
    if (body.length === 0) {
      if (!closing) throw badRequest('the body is empty: send bytes, or Stream-Closed: true.');
      return [];
    }
    const contentType = headerOf(headers, 'content-type');
    if (contentType === undefined || contentType === '') throw badRequest('Content-Type is required with a body.');
    // A producer may repeat what it wrote before the close; whether this is so is known to the database.
    if (record.status !== 'open' && !hasProducer) throw closedRefusal(record);
    if (mediaTypeOf(contentType) !== mediaTypeOf(record.contentType))
      throw conflict(`the stream has the content type ${record.contentType}.`);
    if (!isJson(record.contentType)) return [body];
    const messages = jsonMessages(body);
    if (messages.length === 0) throw badRequest('an empty array appends nothing.');
    return messages;
  }

  private async producerHeaders(
    stream: string,
    producer: Producer | undefined,
    { isDuplicate }: Written,
  ): Promise<Record<string, string>> {
    if (producer === undefined) return {};
    const highest = isDuplicate ? (await this.streams.info(stream, { producer: producer.id })).producer : undefined;
    return {
      'producer-epoch': String(producer.epoch),
      'producer-seq': String(highest?.lastSeq ?? producer.seq),
    };
  }

  /** The module's refusals in the protocol's words. */
  private async explained<T>(
    record: StreamRecord,
    producer: Producer | undefined,
    write: () => Promise<T>,
  ): Promise<T> {
    try {
      return await write();
    } catch (error) {
      switch (errorCode(error)) {
        case 'STREAM_CLOSED':
          throw closedRefusal((await this.storage.find(record.name)) ?? record);
        case 'PRODUCER_FENCED': {
          const { currentEpoch } = error as ProducerFencedError;
          throw new ProtocolRefusal(403, 'PRODUCER_FENCED', 'a newer epoch of this producer writes the stream.', {
            'producer-epoch': String(currentEpoch),
          });
        }
        case 'PRODUCER_SEQ_GAP':
          throw await this.gapRefusal(record, producer as Producer, (error as ProducerSeqGapError).expectedSeq);
        default:
          throw error;
      }
    }
  }

  private async gapRefusal(record: StreamRecord, producer: Producer, expectedSeq: number): Promise<ProtocolRefusal> {
    const known = (await this.streams.info(record.name, { producer: producer.id })).producer;
    if (known !== undefined && known.epoch < producer.epoch)
      return badRequest('a new epoch of a producer begins with Producer-Seq 0.');
    return new ProtocolRefusal(409, 'PRODUCER_SEQ_GAP', `Producer-Seq ${expectedSeq} is due.`, {
      'producer-expected-seq': String(expectedSeq),
      'producer-received-seq': String(producer.seq),
    });
  }
}

function closedRefusal(record: StreamRecord): ProtocolRefusal {
  return new ProtocolRefusal(409, 'STREAM_CLOSED', `the stream '${record.name}' is closed.`, {
    ...offsetHeader(record, record.nextIndex),
    ...closedHeader(true),
  });
}
