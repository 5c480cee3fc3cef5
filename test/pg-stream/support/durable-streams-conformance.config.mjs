import { createRequire } from 'node:module';
import { dirname } from 'node:path';

// For the runner of the conformance package, which its own command cannot find: by default nothing below node_modules is a test.
const root = dirname(createRequire(import.meta.url).resolve('@durable-streams/server-conformance-tests/package.json'));

// Those of the cases that wait for a stream's time to be over do it side by side; all others run one after another.
export default { root, test: { include: ['dist/test-runner.js'], exclude: [], watch: false, maxConcurrency: 20 } };
