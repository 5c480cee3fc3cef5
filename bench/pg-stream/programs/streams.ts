import { setTimeout as sleep } from 'node:timers/promises';
import type { PgStreamOptions } from '@nest-baton/pg-stream';
import type { Sample } from '../../harness/measuring/pairs.js';
import { type ServedSubject, serveSubjects } from '../../harness/processes/serve-subjects.js';
import type { Parameters } from '../../harness/processes/subject-messages.js';
import {
  appendRate,
  batchRate,
  floorRate,
  streamNames,
  writerBatchRate,
  writerRate,
} from '../measuring/closed-loop.js';
import { writeAtRate } from '../measuring/open-loop-writers.js';
import { ArrivalLog, warmingChunk } from '../measuring/stamped-chunks.js';
import type { FloorStreams } from '../subjects/floor.js';
import type { OurStreams } from '../subjects/ours.js';
import type { StreamSubject } from '../subjects/stream-subject.js';
import type { Action } from './actions.js';

interface Setup {
  readonly url: string;
  readonly options?: PgStreamOptions;
}

// Each process loads its own system only.
const world = () => import('../subjects/world-postgres.js');

serveSubjects({
  floor: async (setup) => serveFloor(await (await import('../subjects/floor.js')).startFloor(setupOf(setup).url)),
  recommended: async (setup) => {
    const { startWorldPostgres, WORLD_RECOMMENDED } = await world();
    return serveStreams(await startWorldPostgres(setupOf(setup).url, WORLD_RECOMMENDED));
  },
  defaults: async (setup) => {
    const { startWorldPostgres, WORLD_DEFAULTS } = await world();
    return serveStreams(await startWorldPostgres(setupOf(setup).url, WORLD_DEFAULTS));
  },
  ours: async (setup) => {
    const { url, options } = setupOf(setup);
    const ours = await (await import('../subjects/ours.js')).startOurs(url, options);
    return serveStreams(ours, ours);
  },
});

function setupOf(setup: Parameters): Setup {
  return setup as unknown as Setup;
}

function serveFloor(floor: FloorStreams): ServedSubject {
  return {
    run: (parameters) => {
      const action = parameters as unknown as Action;
      if (action.action !== 'insert') throw new Error(`the floor cannot ${action.action}`);
      return floorRate(floor, action);
    },
    stop: () => floor.stop(),
  };
}

function serveStreams(subject: StreamSubject, ours?: OurStreams): ServedSubject {
  const served = new ServedStreams(subject, ours);
  return { run: (parameters) => served.run(parameters as unknown as Action), stop: () => served.stop() };
}

class ServedStreams {
  private readonly log = new ArrivalLog();
  private readonly stops: (() => Promise<void>)[] = [];

  constructor(
    private readonly subject: StreamSubject,
    private readonly given: OurStreams | undefined,
  ) {}

  async run(action: Action): Promise<Sample> {
    const { subject, log } = this;
    switch (action.action) {
      case 'append':
        return appendRate(subject, action);
      case 'batch':
        return batchRate(subject, action);
      case 'writers':
        return writerRate(this.ours, action);
      case 'writerBatches':
        return writerBatchRate(this.ours, action);
      case 'follow':
        return this.follow(streamNames(action.streams), action.readersEach ?? 1);
      case 'warm':
        for (const name of streamNames(action.streams)) await subject.append(name, warmingChunk());
        return {};
      case 'heard':
        return { readers: log.warmReaders };
      case 'write':
        return writeAtRate(subject, streamNames(action.streams), action);
      case 'collect':
        for (let waited = 0; log.received < action.expected && waited < action.patienceMs; waited += 2) await sleep(2);
        return log.take();
      case 'stats':
        return this.stats();
      case 'clear':
        await subject.clear();
        return {};
      case 'insert':
        throw new Error(`${subject.name} is not the floor`);
    }
  }

  async stop(): Promise<void> {
    for (const stop of this.stops) await stop();
    await this.subject.stop();
  }

  private get ours(): OurStreams {
    if (this.given === undefined) throw new Error(`${this.subject.name} has no such writers`);
    return this.given;
  }

  private async follow(names: readonly string[], readersEach: number): Promise<Sample> {
    for (const name of names)
      for (let nth = 0; nth < readersEach; nth++) {
        const reader = `${name}/${this.stops.length}`;
        this.stops.push(await this.subject.read(name, (data) => this.log.arrived(reader, data)));
      }
    return { readers: this.stops.length };
  }

  private stats(): Sample {
    const stats = this.ours.service.stats();
    const numbers = Object.entries(stats).filter(([, value]) => typeof value === 'number');
    return { ...Object.fromEntries(numbers), isListening: Number(stats.listener === 'listening') };
  }
}
