import { jest } from '@jest/globals';

// Only ends what hangs: what has to come in time has a limit of its own, in its test.
jest.setTimeout(60_000);
