// Describing a benchmark
export { Bench, type Benchmark, defineBenchmark, type Stoppable, type Use } from './benchmark.js';
export type { Row, Target } from './reporting/row.js';
export type { Curve, CurveLine } from './reporting/curve.js';
export type { MachineSpeed, ReferenceFigure } from './validity/reference-figure.js';

// Measuring
export { interleave, Pairs, type PairsOptions, type Sample, type Subject } from './measuring/pairs.js';
export { median, ratioOf, single, type Spread, spreadOf } from './measuring/spread.js';
export { expectCount, WorkNotDoneError } from './measuring/check.js';

// Latency
export { EventLoopDelay } from './latency/event-loop-delay.js';
export { LatencyHistogram } from './latency/latency-histogram.js';
export { openLoop, type OpenLoopOptions } from './latency/open-loop.js';

// Processes
export { RemoteSubject, type RemoteSubjectOptions } from './processes/remote-subject.js';
export { type ServedSubject, serveSubjects, type SubjectStarter } from './processes/serve-subjects.js';
export type { Parameters } from './processes/subject-messages.js';
