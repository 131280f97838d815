/** What this program is called towards others. */
import { readFileSync } from 'node:fs';

/** Of the package. */
export const VERSION = packageVersion();
/** Of the API between a command and the process that holds the home; they work together while it is the same. */
export const API_VERSION = 2;

/** The package file lies one level up from the sources, two from what is built of them. */
function packageVersion(): string {
  const here = import.meta.url;
  const path = here.endsWith('.ts') ? '../package.json' : '../../package.json';
  return (JSON.parse(readFileSync(new URL(path, here), 'utf8')) as { version: string }).version;
}
