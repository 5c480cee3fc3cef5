/** What a process with our module is told to do; the parameters of `RemoteSubject.run`. */
export type OutboxAction =
  /** One for each URL, under tenants 0, 1, ... after those that are there. */
  | { readonly action: 'endpoints'; readonly urls: readonly string[] }
  /** Events for the tenants in turn, as fast as 16 callers can. */
  | { readonly action: 'send'; readonly count: number; readonly tenants: number }
  /** `{ committedMs }`: all events in one transaction, so that they become due at one time. */
  | { readonly action: 'burst'; readonly count: number; readonly tenants: number }
  /** An open loop; each event says when it was due. */
  | { readonly action: 'sendAtRate'; readonly perSecond: number; readonly seconds: number; readonly tenants: number }
  /** `{ perSecond }`: transactions that insert a row of their own and send an event. */
  | { readonly action: 'commit'; readonly callers: number; readonly ms: number }
  /** Deliveries by plain SQL, due for hours, the oldest half of them for tenant 0. Claims are timed from then on. */
  | { readonly action: 'backlog'; readonly count: number }
  /** `{ claims, p50, p99, max }` of this process since the last time it was asked. */
  | { readonly action: 'claims' }
  /** `{ rss, peakRss }` in megabytes; the peak since the last time it was asked. */
  | { readonly action: 'memory' }
  /** Deliveries by state. */
  | { readonly action: 'states' }
  | { readonly action: 'clear' };
