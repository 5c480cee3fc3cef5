import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ReceivedWebhook, waitFor } from '@nest-baton/testing';
import { linesOf } from '../src/runs/working/run-lines.js';
import { INDEX_PAGE_CHUNKS } from '../src/runs/working/run-indexer.js';
import type { Backends } from './backends.js';
import {
  type ConservationRow,
  conservation,
  duplicateDocuments,
  type ReceivedEvidence,
  type RunEvidence,
  type Victim,
} from './conservation.js';
import { RunReader } from './run-reader.js';
import type { Service, ServiceProcess } from './service-processes.js';
import type { Source } from './sources.js';
import type { Terminal } from './terminal.js';

interface RunView {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly worker: string | null;
  readonly chunks: number;
  readonly indexedTo: number;
}

interface Followed {
  readonly id: string;
  readonly source: Source;
  readonly reader: RunReader;
  readonly read: Promise<void>;
}

/** Between two looks at all runs: often enough for a live line, seldom enough not to be the load. */
const LOOK_MS = 250;

/** Every fourth webhook is refused, so that retries are seen to keep their id. */
const REFUSED = { every: 4, status: 503 } as const;

/** After the kill, a statement that the victim had sent may still commit; this is far longer than one takes and far below a lease. */
const SETTLE_MS = 300;

/** One round of the demo: runs in, readers cut, a worker killed in the middle, everything counted at the end. */
export class Phase {
  private runs: readonly Followed[] = [];
  private views: readonly RunView[] = [];
  private readonly refused = new Set<ReceivedWebhook>();

  constructor(
    private readonly service: Service,
    private readonly backends: Backends,
    private readonly terminal: Terminal,
    private readonly secret: string,
    private readonly signal: AbortSignal,
  ) {}

  async play(sources: readonly Source[]): Promise<readonly ConservationRow[]> {
    this.backends.receiver.answer((request, nth) => {
      if (nth % REFUSED.every !== 1) return undefined;
      this.refused.add(request);
      return { status: REFUSED.status };
    });
    this.runs = await Promise.all(sources.map((source) => this.startRun(source)));
    this.terminal.note(`${sources.length} runs accepted, ${sources.length} readers connected`);
    const victim = await this.killBusyWorker();
    await this.finish(sources);
    const evidence = this.evidence();
    const rows = conservation(evidence, victim, INDEX_PAGE_CHUNKS);
    this.terminal.timeline();
    this.terminal.table(rows);
    this.terminal.duplicates(duplicateDocuments(evidence, victim, INDEX_PAGE_CHUNKS));
    return rows;
  }

  private async startRun(source: Source): Promise<Followed> {
    const { baseUrl } = this.service.api;
    const response = await fetch(`${baseUrl}/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({ input: source.text }),
    });
    if (response.status !== 202) throw new Error(`POST /runs answered ${response.status}: ${await response.text()}`);
    const { id } = (await response.json()) as { id: string };
    const reader = new RunReader(`${baseUrl}/runs/${id}/stream`, Math.floor(source.lines / 3));
    const read = reader.readToEnd(this.signal);
    read.catch(() => undefined); // awaited in finish()
    return { id, source, reader, read };
  }

  private async killBusyWorker(): Promise<Victim> {
    const worker = await waitFor(() => this.busyWorker(), {
      timeoutMs: 60_000,
      description: 'a worker owns two unfinished runs with chunks',
    });
    worker.child.signal('SIGKILL');
    await worker.child.exited;
    await sleep(SETTLE_MS, undefined, { signal: this.signal });
    const owned = (await this.look()).filter((view) => isUnfinishedOf(view, worker));
    this.terminal.note(`${worker.name} killed with SIGKILL; it owned ${owned.length} unfinished runs`);
    return {
      worker: owned[0]?.worker ?? worker.name,
      runs: owned.map(({ id, indexedTo, chunks }) => ({ id, indexedTo, chunks })),
    };
  }

  /** The worker with the most runs in the middle, once it has two. */
  private async busyWorker(): Promise<ServiceProcess | undefined> {
    const views = await this.look();
    const isInTheMiddle = ({ id, chunks }: RunView): boolean =>
      chunks >= Math.max(1, Math.floor((this.runs.find((run) => run.id === id)?.source.lines ?? 0) / 4));
    const busy = this.service.workers
      .map((worker) => ({
        worker,
        owned: views.filter((view) => isUnfinishedOf(view, worker) && isInTheMiddle(view)).length,
      }))
      .sort((a, b) => b.owned - a.owned)[0];
    return busy !== undefined && busy.owned >= 2 ? busy.worker : undefined;
  }

  private async finish(sources: readonly Source[]): Promise<void> {
    const lines = sources.reduce((sum, source) => sum + source.lines, 0);
    const timeoutMs = 60_000 + lines * 10;
    let isTakenOver = false;
    const allDone = waitFor(
      async () => {
        const views = await this.look();
        const takenOver = views.filter(({ attempt }) => attempt >= 2).length;
        if (takenOver > 0 && !isTakenOver) this.terminal.note('the first orphan has another owner');
        isTakenOver ||= takenOver > 0;
        return views.every(({ state }) => state === 'done' || state === 'failed');
      },
      { timeoutMs, description: 'every run has ended' },
    ).then(() => this.terminal.note('every run has ended'));
    const allRead = Promise.all(this.runs.map(({ read }) => read)).then(() =>
      this.terminal.note(`every stream was read to its end; ${this.sum(({ reader }) => reader.cuts)} cuts`),
    );
    await Promise.all([allDone, allRead]);
    await waitFor(() => this.runs.every(({ id }) => this.webhooksOf(id).some(({ isAccepted }) => isAccepted)), {
      timeoutMs: 30_000,
      description: 'every run has had its webhook accepted',
    });
    const requests = this.sum(({ id }) => this.webhooksOf(id).length);
    this.terminal.note(`${requests} webhook requests received, ${this.refused.size} of them refused and sent again`);
  }

  private async look(): Promise<readonly RunView[]> {
    await sleep(LOOK_MS, undefined, { signal: this.signal });
    this.views = await Promise.all(
      this.runs.map(async ({ id }) => {
        const response = await fetch(`${this.service.api.baseUrl}/runs/${id}`);
        return (await response.json()) as RunView;
      }),
    );
    const done = this.views.filter(({ state }) => state === 'done').length;
    const count = (key: 'chunks' | 'indexedTo') => this.views.reduce((sum, view) => sum + view[key], 0);
    this.terminal.progress(
      `runs ${done}/${this.runs.length}  written ${count('chunks')}  read ${this.sum(({ reader }) => reader.chunks)}  ` +
        `indexed ${count('indexedTo')}  webhooks ${this.sum(({ id }) => this.webhooksOf(id).length)}`,
    );
    return this.views;
  }

  private evidence(): readonly RunEvidence[] {
    return this.runs.map(({ id, source, reader }) => {
      const view = this.views.find((candidate) => candidate.id === id);
      return {
        id,
        source,
        state: view?.state ?? 'missing',
        attempt: view?.attempt ?? 0,
        worker: view?.worker ?? null,
        read: { sha256: reader.sha256(), chunks: reader.chunks, cuts: reader.cuts, status: reader.status },
        webhooks: this.webhooksOf(id),
        documents: this.documentsOf(id),
      };
    });
  }

  private webhooksOf(runId: string): readonly ReceivedEvidence[] {
    return this.backends.receiver.requests
      .filter(({ body }) => {
        const event = JSON.parse(body.toString()) as { type: string; data: { id: string } };
        return event.type === 'run.done' && event.data.id === runId;
      })
      .map((request) => ({
        id: String(request.headers['webhook-id']),
        isVerified: this.backends.receiver.verify(request, this.secret),
        isAccepted: !this.refused.has(request),
      }));
  }

  private documentsOf(runId: string): ReadonlyMap<number, number> {
    const source = this.runs.find(({ id }) => id === runId)?.source.text ?? '';
    const lines = [...linesOf(Buffer.from(source))].map((line) => line.toString());
    const times = new Map<number, number>();
    const documents = this.backends.sink.documents('runs') as readonly { run: string; index: number; text?: string }[];
    for (const { run, index, text } of documents)
      if (run === runId && text === lines[index]) times.set(index, (times.get(index) ?? 0) + 1);
    return times;
  }

  private sum(of: (run: Followed) => number): number {
    return this.runs.reduce((total, run) => total + of(run), 0);
  }
}

/** A worker's consumer id is its name and something unique to the process. */
function isUnfinishedOf({ state, worker }: RunView, { name }: ServiceProcess): boolean {
  return state === 'running' && worker?.startsWith(name) === true;
}
