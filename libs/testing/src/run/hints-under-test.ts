import { readTestingEnvironment } from '../environment.js';

/**
 * What a suite gives its modules as `hints`: `off` when the run is to show that hints are removable (`TEST_HINTS=off`), else `on`. A test that is
 * itself about hints sets the option by hand.
 */
export function hintsUnderTest(): 'on' | 'off' {
  return readTestingEnvironment().hints;
}
