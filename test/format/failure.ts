import { AssertionError } from 'chai';
import { ShoalError } from '../../src/errors.ts';

/** The ShoalError that `action` fails with. Anything else that it does fails the test. */
export async function failureOf(action: () => unknown): Promise<ShoalError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ShoalError) return error;
    throw error;
  }
  throw new AssertionError('expected it to fail, and it did not');
}
