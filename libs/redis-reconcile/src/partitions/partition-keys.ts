/**
 * The keys of one partition. All carry its hash tag `{service:p/n}`, so that each of its scripts touches one slot of a cluster.
 *
 * - Partition 3 of 4 and partition 3 of 8 have no key in common: whoever runs with another number never meets what is not its own.
 */
export class PartitionKeys {
  /** The hand-offs. */
  readonly stream: string;
  /** Data stream to its owner's record: the truth about ownership. */
  readonly owned: string;
  /** The last fence handed out. */
  readonly fence: string;
  readonly deadLetters: string;
  /** Handoff id to its entry among the dead letters. */
  readonly deadIndex: string;
  /** Data stream to the number of hand-offs that wait for it. */
  readonly waitingIndex: string;
  /** Tokens that a scan took away, with the time; kept for an hour. */
  readonly revoked: string;
  /** Whether the partition takes part: see the scripts of the layout. */
  readonly layout: string;
  /** Data streams whose owner is in an old partition, with its number; while the number of partitions changes. */
  readonly guards: string;
  /** What came from old partitions, by where it came from; for a day. */
  readonly arrived: string;
  /** What each lease key begins with. */
  readonly leasePrefix: string;
  private readonly tag: string;

  constructor(
    service: string,
    readonly partition: number,
    /** How many partitions there are. */
    readonly partitions: number,
    dlqStream: string,
  ) {
    this.tag = `{${service}:${partition}/${partitions}}`;
    this.stream = `${this.tag}:handoffs`;
    this.owned = `${this.tag}:owned`;
    this.fence = `${this.tag}:fence`;
    this.deadLetters = `${this.tag}:${dlqStream}`;
    this.deadIndex = `${this.tag}:${dlqStream}:index`;
    this.waitingIndex = `${this.tag}:waiting`;
    this.revoked = `${this.tag}:revoked`;
    this.layout = `${this.tag}:layout`;
    this.guards = `${this.tag}:guards`;
    this.arrived = `${this.tag}:arrived`;
    this.leasePrefix = `${this.tag}:lease:`;
  }

  /** KEYS 1 to 7 of every script. */
  get fixed(): readonly string[] {
    return [this.stream, this.owned, this.fence, this.deadLetters, this.deadIndex, this.waitingIndex, this.revoked];
  }

  /** Liveness only: its expiry says that nobody renews, the record says who owns. */
  lease(dataStream: string): string {
    return this.leasePrefix + dataStream;
  }

  /** The hand-offs that wait for this data stream, oldest first. */
  waiting(dataStream: string): string {
    return `${this.tag}:waiting:${dataStream}`;
  }

  dedupe(dataStream: string, dedupeId: string): string {
    return `${this.tag}:dedupe:${Buffer.byteLength(dataStream)}:${dataStream}:${dedupeId}`;
  }
}
