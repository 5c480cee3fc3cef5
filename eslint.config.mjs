import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** @typedef {{selector: string, message: string}} Ban */

const LIBS = readdirSync(join(import.meta.dirname, 'libs'));
const LIB_NAMES = LIBS.join('|');
const SUBPATHS = LIBS.flatMap((lib) => {
  const { name, exports } = JSON.parse(readFileSync(join(import.meta.dirname, 'libs', lib, 'package.json'), 'utf8'));
  return Object.keys(exports).map((subpath) => `${name}${subpath.slice(1)}`);
});

/** What is imported in any form, static or dynamic, value or type. @param {RegExp} pattern @param {string} message @returns {Ban} */
const imported = ({ source }, message) => {
  // The grammar of selectors ends a regular expression at the first slash, also at one with a backslash.
  const from = `/${source.replaceAll('\\/', '\\u002F')}/`;
  const forms = [
    `:matches(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration, ImportExpression)[source.value=${from}]`,
    `TSImportType[source.value=${from}]`,
    `TSExternalModuleReference[expression.value=${from}]`,
    `CallExpression[callee.name='require'][arguments.0.value=${from}]`,
  ];
  return { selector: `:matches(${forms.join(', ')})`, message };
};

/** `a.b`, `a['b']`, `x.a.b` and `const { b } = a`. @param {string} owner @param {string} name @param {string} message @returns {Ban} */
const read = (owner, name, message) => {
  const ownerIs = (/** @type {string} */ key) =>
    `:matches([${key}.name='${owner}'], [${key}.property.name='${owner}'])`;
  const forms = [
    `MemberExpression:matches([property.name='${name}'], [property.value='${name}'])${ownerIs('object')}`,
    `VariableDeclarator${ownerIs('init')} > ObjectPattern > Property[key.name='${name}']`,
  ];
  return { selector: `:matches(${forms.join(', ')})`, message };
};

// The sentences are those of test/house/import-rules.ts, which also finds cycles; both refuse the same examples.
const EXPORT_STAR = { selector: 'ExportAllDeclaration', message: 'name each export' };
const OWN_INDEX = 'inside a lib by relative path, never through an index';
const DEEP = 'a package of ours is imported by what it exports';
const CORE_ALONE = imported(/^(?!\.|node:|@opentelemetry\/api$)/, 'core imports no lib and no driver');
const NO_TESTING = imported(/^@nest-baton\/testing(\/|$)/, 'nothing that ships imports testing');
const NOT_EXPORTED = imported(new RegExp(`^@nest-baton/(?!(${SUBPATHS.map(afterScope).join('|')})$)`), DEEP);
const NO_ENVIRONMENT = [
  read('process', 'env', 'only src/app.config.ts and libs/testing/src/environment.ts may'),
  imported(/^(node:)?process$/, 'only src/app.config.ts and libs/testing/src/environment.ts may'),
];
const NO_CLOCK = [
  read('Date', 'now', 'the clock and chance live in core and are arguments elsewhere'),
  read('Math', 'random', 'the clock and chance live in core and are arguments elsewhere'),
];

/** @param {string} name */
function afterScope(name) {
  return name.slice('@nest-baton/'.length).replaceAll('.', '\\.');
}

/** Into the folder of a lib, of which only `own` may be entered. @param {string} [own] @returns {Ban} */
const intoLibs = (own = '(?!)') => imported(new RegExp(`^\\.\\.?/(.*/)?libs/(?!${own}/)`), DEEP);

/** @param {string[]} files @param {Ban[]} bans @param {string[]} [ignores] */
const refuse = (files, bans, ignores = []) => ({
  files,
  ignores,
  rules: { 'no-restricted-syntax': ['error', EXPORT_STAR, NOT_EXPORTED, ...bans] },
});

/** @param {string} lib */
function lib(lib) {
  const others = (/** @type {string[]} */ ...allowed) =>
    imported(
      new RegExp(`^@nest-baton/(?!(${['core', lib, ...allowed].join('|')})(/|$))`),
      'a lib imports core and its own files, never another lib',
    );
  const always = [
    imported(new RegExp(`^@nest-baton/${lib}(/|$)|^\\.\\.?(/.*)?/index\\.js$`), OWN_INDEX),
    imported(new RegExp(`^\\.\\./(\\.\\./)+(libs/)?(${LIB_NAMES})/`), DEEP),
  ];
  const shipped = [
    ...(lib === 'core' ? [CORE_ALONE] : NO_CLOCK),
    // Where libs meet.
    ...(lib === 'console' ? [NO_TESTING] : [others()]),
    ...always,
  ];
  const sources = [`libs/${lib}/src/**/*.ts`];
  const reader = 'libs/testing/src/environment.ts';
  return [
    refuse(sources, [...NO_ENVIRONMENT, ...shipped], ['**/*.spec.ts', reader]),
    ...(lib === 'testing' ? [refuse([reader], shipped)] : []),
    refuse([`libs/${lib}/src/**/*.spec.ts`], [...(lib === 'console' ? [] : [others('testing')]), ...always]),
    // Only a lib's own behaviour tests may look inside it.
    refuse([`test/${lib}/**/*.ts`], [intoLibs(lib)]),
  ];
}

const IMPORT_RULES = [
  refuse(['test/**/*.ts'], [intoLibs()]),
  ...LIBS.flatMap(lib),
  refuse(['src/**/*.ts'], [NO_TESTING, intoLibs(), ...NO_ENVIRONMENT, ...NO_CLOCK], ['**/*.spec.ts']),
  refuse(['src/app.config.ts'], [NO_TESTING, intoLibs(), ...NO_CLOCK]),
  refuse(['demo/**/*.ts'], [intoLibs(), ...NO_ENVIRONMENT, ...NO_CLOCK], ['**/*.spec.ts']),
  refuse(['{src,demo}/**/*.spec.ts'], [intoLibs()]),
];

export default defineConfig(
  { ignores: ['**/dist/**', 'coverage/**', '**/node_modules/**', 'bench/**'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'max-lines': ['error', { max: 300, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: false, skipComments: false }],
      // consistent-type-imports stays off: `import type` would erase the classes that Nest injects.
    },
  },
  ...IMPORT_RULES,
  {
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/unbound-method': 'off',
      'max-lines': 'off',
      'max-lines-per-function': 'off',
    },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'performance', 'URL', 'setTimeout', 'globalThis', 'Buffer'].map((g) => [g, 'readonly']),
      ),
    },
  },
);
