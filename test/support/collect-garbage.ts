import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** Collects all garbage, now: what is measured after it is what is held. */
export const collectGarbage = runInNewContext('gc') as () => void;
