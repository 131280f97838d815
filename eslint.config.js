// What a compiler can't see and a reviewer should not have to: promises that nobody waits for, switches that miss a case,
// values of unknown type. Layers, leftovers and dead files are tests (test/layers.test.ts, test/tidy.test.ts).
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist/', 'coverage/', 'node_modules/'] },
  {
    files: ['{src,cli,relay,web,test,bench,docs,man}/**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
      'no-restricted-globals': ['error', { name: 'event', message: 'take the event as an argument' }],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/only-throw-error': 'error',
      // A promise that is not awaited is marked by `void`, where it is seen.
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      '@typescript-eslint/no-unused-vars': ['error', { args: 'after-used', argsIgnorePattern: '^_' }],
      // An index behind a check of the length is as safe as it gets; what is wrong with others, the tests show.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers in a sentence are fine; objects are not.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A port's method may have nothing to wait for in one of its adapters.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-empty-function': 'off',
      // An empty string or 0 is often what the caller means by "none".
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: { string: true } }],
      // It believes what a type says of a platform, and misses what a callback changes.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // tsconfig's noPropertyAccessFromIndexSignature asks for brackets there.
      '@typescript-eslint/dot-notation': 'off',
    },
  },
  {
    // Results are the command line's to print, and logs the daemon's.
    files: ['src/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // chai: `expect(x).to.be.true`
      '@typescript-eslint/no-unused-expressions': 'off',
    },
  },
);
