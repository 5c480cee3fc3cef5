import everything from './jest.config.mjs';

// Inherited by the suites' workers and their child processes.
process.env.TEST_HINTS = 'off';

/** All that needs servers, once more with NOTIFY, keyspace events and in-process kicks off; what is itself about hints lies in folders of that name. */
export default {
  ...everything,
  projects: everything.projects
    .filter(({ displayName }) => displayName === 'behaviour')
    .map((behaviour) => ({
      ...behaviour,
      displayName: 'no-hints',
      testPathIgnorePatterns: [
        ...['ingest', 'pg-stream', 'redis-reconcile', 'webhook-outbox'].map((lib) => `<rootDir>/test/${lib}/hints/`),
        // A protocol over HTTP, whose live cases would all wait for the poll.
        '<rootDir>/test/pg-stream/durable-streams-conformance.spec.ts',
        // No module of ours runs in these.
        ...['core', 'demo', 'house', 'testing', 'bench'].map((folder) => `<rootDir>/test/${folder}/`),
      ],
    })),
};
