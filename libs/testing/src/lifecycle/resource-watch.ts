import { createHook } from 'node:async_hooks';
import type { Counts } from './lifecycle-subject.js';

/** What keeps a process alive, or a server's slot taken, by the names that Node gives them. Requests end by themselves and are not counted. */
const WATCHED = new Set([
  'Timeout',
  'TCPWRAP',
  'TCPSERVERWRAP',
  'TLSWRAP',
  'PIPEWRAP',
  'PIPESERVERWRAP',
  'UDPWRAP',
  'PROCESSWRAP',
  'FSEVENTWRAP',
  'STATWATCHER',
  'WORKER',
  'MESSAGEPORT',
]);

const FRAMES_SHOWN = 4;

/**
 * Everything that was opened since it was made and is still open: timers (those too that do not hold the process), sockets, servers, children,
 * workers, each with the place that opened it; and listeners on `process`. What was open before is not its business.
 */
export class ResourceWatch {
  private readonly live = new Map<number, { readonly type: string; readonly origin: Error }>();
  private readonly activeBefore = activeResources();
  private readonly listenersBefore = processListeners();
  private readonly hook = createHook({
    init: (id, type) => {
      if (WATCHED.has(type)) this.live.set(id, { type, origin: new Error(type) });
    },
    destroy: (id) => void this.live.delete(id),
  }).enable();

  /** One line for each thing that was not there before. */
  leftovers(): string[] {
    const opened = [...this.live.values()].map(({ type, origin }) => `${type} opened${placeOf(origin)}`);
    const kept = Object.entries(activeResources())
      .filter(([type, count]) => count > (this.activeBefore[type] ?? 0))
      .map(([type, count]) => `${type}: ${count} active, ${this.activeBefore[type] ?? 0} before`);
    const listeners = Object.entries(processListeners())
      .filter(([event, count]) => count > (this.listenersBefore[event] ?? 0))
      .map(([event, count]) => `process.on('${event}'): ${count}, ${this.listenersBefore[event] ?? 0} before`);
    return [...opened, ...kept, ...listeners];
  }

  end(): void {
    this.hook.disable();
    this.live.clear();
  }
}

/** Sockets and the like as Node reports them. Timers are watched one by one; what is under way for a moment only is no leak. */
function activeResources(): Counts {
  const counts: Record<string, number> = {};
  for (const type of process.getActiveResourcesInfo())
    if (/Wrap$|Watcher|Port$/i.test(type) && !/Req/.test(type)) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

function processListeners(): Counts {
  return Object.fromEntries(process.eventNames().map((event) => [String(event), process.listenerCount(event)]));
}

/** The first frames outside of Node and of this file. */
function placeOf(origin: Error): string {
  const frames = (origin.stack ?? '').split('\n').slice(1);
  const outside = frames.filter((frame) => !/node:|async_hooks|resource-watch/.test(frame));
  return outside
    .slice(0, FRAMES_SHOWN)
    .map((frame) => `\n      ${frame.trim()}`)
    .join('');
}
