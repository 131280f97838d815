/** Writes the man page beside this file: `npm run man`. */
import { writeFileSync } from 'node:fs';
import { definitionsOf } from '../cli/program.ts';
import { VERSION } from '../src/version.ts';
import { manualPage } from './page.ts';

const program = definitionsOf(VERSION);
writeFileSync(new URL('shoal.1', import.meta.url), manualPage(program, VERSION));
