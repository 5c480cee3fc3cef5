/** The work of a run was not done as asked: its figures are worth nothing. */
export class WorkNotDoneError extends Error {
  override readonly name = 'WorkNotDoneError';
}

/** @throws WorkNotDoneError unless exactly as many were done. */
export function expectCount(what: string, actual: number, expected: number): void {
  if (actual !== expected) throw new WorkNotDoneError(`${what}: ${actual} instead of ${expected}.`);
}
