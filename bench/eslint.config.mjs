import root from '../eslint.config.mjs';

// The root leaves this folder out, since its rules need the peers' types and nobody else installs the peers. Here the same rules hold.
export default [...root, { ignores: ['!bench/**', 'bench/node_modules/**', 'bench/results/**'] }];
