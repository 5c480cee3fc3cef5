export interface BufferLimits {
  readonly maxBufferDocs: number;
  readonly maxBufferBytes: number;
}

interface Amount {
  docs: number;
  bytes: number;
}

/**
 * The room that all indexes of one root share.
 *
 * - Never more than its limits, whatever the indexes do.
 * - Half of it is reserved in equal parts, so that an index whose server is away cannot take the room of the others; the other half is for
 *   whoever comes first. An index that is alone has all of it.
 */
export class SharedBuffer {
  readonly reserve: Readonly<Amount>;
  private readonly common: Readonly<Amount>;
  private readonly commonUsed: Amount = { docs: 0, bytes: 0 };
  private readonly shares: BufferShare[] = [];
  private firstTold = 0;

  constructor({ maxBufferDocs, maxBufferBytes }: BufferLimits, indexes: number) {
    const reserved = (max: number): number => (indexes === 1 ? max : Math.floor(max / 2 / indexes));
    this.reserve = { docs: reserved(maxBufferDocs), bytes: reserved(maxBufferBytes) };
    this.common = {
      docs: maxBufferDocs - indexes * this.reserve.docs,
      bytes: maxBufferBytes - indexes * this.reserve.bytes,
    };
  }

  /** The most bytes that one index can ever have. */
  get largestShareBytes(): number {
    return this.reserve.bytes + this.common.bytes;
  }

  /** @param onRoom told when another index gave room back that this one may take. */
  join(onRoom: () => void): BufferShare {
    const share = new BufferShare(this, onRoom);
    this.shares.push(share);
    return share;
  }

  hasCommonRoom(docs: number, bytes: number): boolean {
    const { common, commonUsed } = this;
    return commonUsed.docs + docs <= common.docs && commonUsed.bytes + bytes <= common.bytes;
  }

  useCommon(docs: number, bytes: number): void {
    this.commonUsed.docs += docs;
    this.commonUsed.bytes += bytes;
  }

  /** Each time another one first, so that none is always last. */
  tellOthers(giver: BufferShare): void {
    const { shares } = this;
    this.firstTold = (this.firstTold + 1) % shares.length;
    for (let i = 0; i < shares.length; i++) {
      const share = shares[(this.firstTold + i) % shares.length];
      if (share !== giver) share?.onRoom();
    }
  }
}

/** What one index has of a shared buffer. */
export class BufferShare {
  docs = 0;
  bytes = 0;

  constructor(
    private readonly shared: SharedBuffer,
    readonly onRoom: () => void,
  ) {}

  /** Not one more document fits. */
  get isFull(): boolean {
    return !this.hasRoom(0);
  }

  /** Room for one more document. */
  hasRoom(bytes: number): boolean {
    const { reserve } = this.shared;
    if (this.docs < reserve.docs && this.bytes + bytes <= reserve.bytes) return true;
    const docsBeyond = this.docs < reserve.docs ? 0 : 1;
    return this.shared.hasCommonRoom(docsBeyond, beyond(this.bytes + bytes, reserve.bytes) - this.bytesBeyond);
  }

  take(bytes: number): void {
    this.change(1, bytes);
  }

  /** The others are told, if it was theirs to take. The giver looks after its own. */
  give(docs: number, bytes: number): void {
    if (this.change(-docs, -bytes)) this.shared.tellOthers(this);
  }

  private get bytesBeyond(): number {
    return beyond(this.bytes, this.shared.reserve.bytes);
  }

  private get docsBeyond(): number {
    return beyond(this.docs, this.shared.reserve.docs);
  }

  /** True when the common half changed. */
  private change(docs: number, bytes: number): boolean {
    const { docsBeyond, bytesBeyond } = this;
    this.docs += docs;
    this.bytes += bytes;
    const [moreDocs, moreBytes] = [this.docsBeyond - docsBeyond, this.bytesBeyond - bytesBeyond];
    if (moreDocs === 0 && moreBytes === 0) return false;
    this.shared.useCommon(moreDocs, moreBytes);
    return true;
  }
}

function beyond(used: number, reserve: number): number {
  return used > reserve ? used - reserve : 0;
}

/** The buffer of a root, and as much again for calls that wait. */
export class IngestRoom {
  readonly buffer: SharedBuffer;
  readonly queue: SharedBuffer;

  constructor(limits: BufferLimits, indexes: number) {
    this.buffer = new SharedBuffer(limits, indexes);
    this.queue = new SharedBuffer(limits, indexes);
  }
}
