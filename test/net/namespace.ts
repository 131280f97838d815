/** Network namespaces that a test makes for a program of its own, by `unshare`. */
import { execFileSync } from 'node:child_process';

/**
 * Skips a test where the rights for a namespace are missing, and says why: CI has them.
 * @param setUp a shell script that sets it up and then executes its arguments
 */
export function needNamespace(test: Mocha.Context, setUp: string): void {
  try {
    execFileSync('unshare', ['-n', 'sh', '-c', setUp, 'true'], { stdio: 'pipe' });
  } catch (error) {
    console.log(`      skipped: no network namespace can be made here: ${(error as Error).message.trim()}`);
    test.skip();
  }
}
