// The closing line of .ci/run, from Jest's own counts: a suite that could not run at all counts as one failed test.
import { existsSync, readFileSync } from 'node:fs';

const [report, failedSteps] = process.argv.slice(2);
const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {};
const passed = counts.numPassedTests ?? 0;
const failed = (counts.numFailedTests ?? 0) + (counts.numRuntimeErrorTestSuites ?? 0);
const skipped = (counts.numPendingTests ?? 0) + (counts.numTodoTests ?? 0);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = Number(failedSteps) > 0 || failed > 0 || passed === 0 ? 1 : 0;
