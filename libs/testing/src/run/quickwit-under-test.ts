import { readTestingEnvironment } from '../environment.js';

/** The URL of a real Quickwit (`TEST_QUICKWIT_URL`), without slashes at its end, or `undefined` when `FakeQuickwit` has to do. */
export function quickwitUnderTest(): string | undefined {
  return readTestingEnvironment().quickwitUrl;
}
