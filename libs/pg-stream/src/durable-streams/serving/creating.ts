import type { PgStreamService } from '../../pg-stream.service.js';
import { isContentType, isJson, mediaTypeOf } from '../protocol/content-type.js';
import { jsonMessages } from '../protocol/json-messages.js';
import { badRequest, conflict, isProtocolRefusal, notFound, ProtocolRefusal } from '../protocol/protocol-refusal.js';
import { type Expiry, expiryOf, type ForkHeaders, forkOf, headerOf, isClosing } from '../protocol/request-headers.js';
import { decodeOffset } from '../protocol/stream-offset.js';
import type { DurableStorage, StorageTransaction } from '../storing/durable-storage.js';
import type { NewRecord, StoredFork, StreamRecord } from '../storing/stream-record.js';
import { type Answer, closedHeader, offsetHeader, type ProtocolRequest } from './answer.js';

/** What a PUT asks for. */
interface Wanted {
  readonly contentType: string | undefined;
  readonly expiry: Expiry;
  readonly isClosed: boolean;
  readonly fork: (ForkHeaders & { readonly source: string }) | undefined;
}

/** Where a fork leaves its source. */
interface ForkPoint {
  readonly position: number;
  /** Bytes of the chunk at `position` that the fork has too. */
  readonly subBytes: number;
}

/** PUT: creates a stream with its first content, or says that there is one just like it. */
export class Creating {
  constructor(
    private readonly streams: PgStreamService,
    private readonly storage: DurableStorage,
    private readonly defaultContentType: string,
  ) {}

  /** @throws ProtocolRefusal 400, 404 for the source of a fork, 409 when there is another stream of the name. */
  async create(request: ProtocolRequest): Promise<Answer> {
    const wanted = wantedOf(request);
    const present = await this.storage.find(request.stream);
    if (present !== undefined) return this.answerTo(await this.sameAs(present, wanted), 200);
    const created = await this.storage.transaction((transaction) => this.createIn(transaction, request, wanted));
    const record = await this.storage.get(request.stream);
    // Somebody else was quicker.
    if (!created) return this.answerTo(await this.sameAs(record, wanted), 200);
    const answer = this.answerTo(record, 201);
    return { ...answer, headers: { ...answer.headers, location: request.url } };
  }

  private async createIn(transaction: StorageTransaction, request: ProtocolRequest, wanted: Wanted): Promise<boolean> {
    const { stream, body } = request;
    const source = wanted.fork === undefined ? undefined : await this.lockSource(transaction, wanted.fork.source);
    const fork = source === undefined ? undefined : await this.forkPoint(transaction, source, wanted);
    const record = this.newRecord(wanted, source);
    const id = await this.storage.records.create(transaction, stream, record);
    if (id === undefined) return false;
    if (source !== undefined && fork !== undefined)
      await this.storage.forks.copy(transaction, source, id, fork.position, fork.subBytes);
    const chunks = isJson(record.contentType) && body.length > 0 ? jsonMessages(body) : body.length > 0 ? [body] : [];
    if (chunks.length > 0) await this.streams.appendMany(stream, chunks, { transaction });
    if (wanted.isClosed) await this.streams.closeStream(stream, { transaction });
    return true;
  }

  private newRecord(wanted: Wanted, source: StreamRecord | undefined): NewRecord {
    const { ttlSeconds, expiresAt } = wanted.expiry;
    const hasExpiry = ttlSeconds !== undefined || expiresAt !== undefined;
    return {
      contentType: wanted.contentType ?? source?.contentType ?? this.defaultContentType,
      expiry: hasExpiry || source === undefined ? wanted.expiry : source.expiry,
      originId: source?.originId,
      fork: source === undefined ? undefined : storedFork(source.id, wanted),
    };
  }

  /** @throws ProtocolRefusal 404; 409 for one that is gone. */
  private async lockSource(transaction: StorageTransaction, name: string): Promise<StreamRecord> {
    const found = await this.storage.records.find(transaction, name);
    if (found === undefined || (found.isExpired && !found.isGone)) throw notFound(name);
    const source = await refusedAs(409, () => this.storage.lock(transaction, found));
    // The mark that it is gone, one day, needs a row.
    await this.storage.records.insert(transaction, source.id, {
      contentType: source.contentType,
      expiry: source.expiry,
      originId: source.originId,
      fork: undefined,
    });
    return source;
  }

  /** @throws ProtocolRefusal 400 for what lies beyond the source, 409 for another content type, 410 for what it has not any more. */
  private async forkPoint(transaction: StorageTransaction, source: StreamRecord, wanted: Wanted): Promise<ForkPoint> {
    const { contentType } = wanted;
    if (contentType !== undefined && mediaTypeOf(contentType) !== mediaTypeOf(source.contentType))
      throw conflict(`the source has the content type ${source.contentType}; a fork cannot have another.`);
    const { offset, subOffset = 0 } = wanted.fork ?? {};
    const anchor = anchorOf(offset, source);
    if (anchor < source.firstIndex && offset !== undefined && anchor > 0)
      throw new ProtocolRefusal(
        410,
        'CURSOR_TRIMMED',
        'the source does not keep what lies before that offset any more.',
      );
    if (subOffset === 0) return { position: anchor, subBytes: 0 };
    if (isJson(source.contentType)) {
      if (anchor + subOffset > source.nextIndex) throw overshot();
      return { position: anchor + subOffset, subBytes: 0 };
    }
    const bytes = await this.storage.forks.chunkBytes(transaction, source.id, anchor);
    if (bytes === undefined || subOffset > bytes) throw overshot();
    return { position: anchor, subBytes: subOffset };
  }

  /** @throws ProtocolRefusal 409 when it is not what was asked for. */
  private async sameAs(record: StreamRecord, wanted: Wanted): Promise<StreamRecord> {
    if (record.isGone)
      throw conflict(`the stream '${record.name}' was deleted, and forks of it live: its name is not free.`);
    const source = wanted.fork === undefined ? undefined : await this.storage.find(wanted.fork.source);
    const other = this.newRecord(wanted, source);
    const isSame =
      mediaTypeOf(record.contentType) === mediaTypeOf(other.contentType) &&
      record.expiry.ttlSeconds === other.expiry.ttlSeconds &&
      record.expiry.expiresAt?.getTime() === other.expiry.expiresAt?.getTime() &&
      (record.status !== 'open') === wanted.isClosed &&
      record.fork?.sourceId === other.fork?.sourceId &&
      record.fork?.offset === other.fork?.offset &&
      (record.fork?.subOffset ?? 0) === (other.fork?.subOffset ?? 0);
    if (!isSame) throw conflict(`there is a stream '${record.name}' already, created otherwise than asked for here.`);
    return record;
  }

  private answerTo(record: StreamRecord, status: number): Answer {
    return {
      status,
      headers: {
        'content-type': record.contentType,
        ...offsetHeader(record, record.nextIndex),
        ...closedHeader(record.status !== 'open'),
      },
    };
  }
}

function wantedOf(request: ProtocolRequest): Wanted {
  const { headers } = request;
  const contentType = headerOf(headers, 'content-type');
  if (contentType !== undefined && !isContentType(contentType)) throw badRequest('Content-Type must be a media type.');
  const fork = forkOf(headers);
  const source = fork === undefined ? undefined : request.streamOf(fork.sourcePath);
  if (fork !== undefined && source === undefined)
    throw new ProtocolRefusal(404, 'STREAM_NOT_FOUND', 'Stream-Forked-From does not name a stream of this server.');
  return {
    contentType,
    expiry: expiryOf(headers),
    isClosed: isClosing(headers),
    fork: fork === undefined || source === undefined ? undefined : { ...fork, source },
  };
}

/** As the client wrote it, so that a repeated creation is the same after its source has grown. */
function storedFork(sourceId: number, { fork }: Wanted): StoredFork {
  return { sourceId, offset: fork?.offset, subOffset: fork?.subOffset ?? 0 };
}

function anchorOf(offset: string | undefined, source: StreamRecord): number {
  if (offset === undefined) return source.nextIndex;
  const decoded = decodeOffset(offset);
  if (decoded === undefined) throw badRequest('Stream-Fork-Offset is not an offset.');
  if (decoded === 'start') return 0;
  if (decoded === 'tail') return source.nextIndex;
  if (decoded.originId !== source.originId || decoded.position > source.nextIndex)
    throw badRequest('Stream-Fork-Offset lies beyond the source, or was not given by it.');
  return decoded.position;
}

function overshot(): ProtocolRefusal {
  return badRequest('Stream-Fork-Sub-Offset lies beyond what follows Stream-Fork-Offset.');
}

async function refusedAs<T>(status: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isProtocolRefusal(error) || error.status !== 410) throw error;
    throw new ProtocolRefusal(status, error.code, error.message);
  }
}
