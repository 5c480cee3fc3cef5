import { type Duration, type EnvironmentVariable, OptionsCheck } from '@nest-baton/core';

export const RUNS_OPTIONS = Symbol('runs options');

export interface RunsOptions {
  readonly schema: string;
  readonly migrations: 'auto' | 'verify' | 'off';
  /** False: a run is not handed off by the request that accepts it; the poller finds it. */
  readonly hints: boolean;
  readonly pollIntervalMs: number;
  /** A run without progress for so long is handed off once more, which is harmless when its owner lives. */
  readonly stalledAfterMs: number;
  /** Pause after each line, so that a demonstration can be watched. */
  readonly paceMs: number;
  /** One line is one chunk, and a chunk is at most this: `maxChunkBytes` of the stream. */
  readonly maxLineBytes: number;
  /** Folder whose files `inputName` may name; `undefined` refuses `inputName`. */
  readonly inputDir: string | undefined;
}

/** What a person writes; see the README's table. */
export interface RunsSettings {
  readonly hints?: 'on' | 'off';
  readonly pollInterval?: Duration;
  readonly stalledAfter?: Duration;
  readonly pace?: Duration;
  readonly inputDir?: string;
}

export const RUNS_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_RUNS_HINTS', option: 'hints', kind: 'string' },
  { variable: 'BATON_RUNS_POLL_INTERVAL', option: 'pollInterval', kind: 'duration' },
  { variable: 'BATON_RUNS_STALLED_AFTER', option: 'stalledAfter', kind: 'duration' },
  { variable: 'BATON_RUNS_PACE', option: 'pace', kind: 'duration' },
  { variable: 'BATON_INPUT_DIR', option: 'inputDir', kind: 'string' },
];

/** @throws OptionsInvalidError naming everything wrong. */
export function resolveRunsOptions(
  settings: RunsSettings,
  fixed: Pick<RunsOptions, 'schema' | 'migrations' | 'maxLineBytes'>,
): RunsOptions {
  const check = new OptionsCheck<RunsSettings>('runs', settings, [
    'hints',
    'pollInterval',
    'stalledAfter',
    'pace',
    'inputDir',
  ]);
  const options: RunsOptions = {
    ...fixed,
    hints: check.oneOf('hints', 'on', ['on', 'off']) === 'on',
    pollIntervalMs: check.duration('pollInterval', '5s', { min: 100 }),
    stalledAfterMs: check.duration('stalledAfter', '30s', { min: 500 }),
    paceMs: check.duration('pace', 0, { max: 60_000 }),
    inputDir: settings.inputDir,
  };
  check.finish();
  return options;
}
