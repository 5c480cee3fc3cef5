import everything from './jest.config.mjs';

/** Soak tests: `SLOW_SECONDS` (60) each, with faults in an order that follows from `SLOW_SEED`. One after the other: each takes the whole machine. */
export default {
  ...everything,
  maxWorkers: 1,
  projects: everything.projects
    .filter(({ displayName }) => displayName === 'behaviour')
    .map((behaviour) => ({ ...behaviour, displayName: 'slow', testMatch: ['<rootDir>/test/slow/**/*.spec.ts'] })),
};
