import type * as Fs from 'node:fs';

/**
 * What the guard process runs. It reaches that process as text (`toString()`), so that it needs neither a loader nor a build: it may use its
 * two arguments and globals, and nothing else of this file.
 *
 * Reads lines of JSON `[add, kind, what]` until its input ends, which happens also when the parent is SIGKILLed. Then it stops the processes
 * that are left, waits until they are gone, and removes the folders. SIGQUIT first: a Postgres that gets SIGKILL leaves its backends behind.
 */
export function guardProgram(self: NodeJS.Process, fs: typeof Fs): void {
  const kept = { pid: new Map<number, string>(), folder: new Map<string, string>() };
  const graceMs = 5000;
  const signal = (pid: number, name: NodeJS.Signals | 0): boolean => {
    try {
      return self.kill(pid, name);
    } catch {
      return false;
    }
  };
  const removeFolders = () => {
    for (const folder of kept.folder.keys()) fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const end = () => {
    for (const [pid, name] of kept.pid) {
      signal(pid, name as NodeJS.Signals);
      signal(pid, 'SIGCONT');
    }
    const begun = performance.now();
    const look = () => {
      const alive = [...kept.pid.keys()].filter((pid) => signal(pid, 0));
      const isLate = performance.now() - begun > graceMs;
      if (isLate) for (const pid of alive) signal(pid, 'SIGKILL');
      if (alive.length === 0 || isLate) removeFolders();
      else setTimeout(look, 20);
    };
    look();
  };
  // A Ctrl-C in the terminal reaches the whole group; the guard outlives it.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) self.on(name, () => undefined);
  let text = '';
  self.stdin.setEncoding('utf8');
  self.stdin.on('data', (piece: string) => {
    text += piece;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const [isAdded, kind, what, how] = JSON.parse(line) as [boolean, 'pid' | 'folder', never, string];
      if (isAdded) (kept[kind] as Map<unknown, string>).set(what, how);
      else kept[kind].delete(what);
    }
  });
  self.stdin.on('end', end);
  self.stdin.on('error', end);
}
