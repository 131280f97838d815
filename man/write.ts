/** Writes the man pages beside this file: `npm run man`. */
import { writeFileSync } from 'node:fs';
import { pages } from './pages.ts';

for (const [file, page] of pages()) writeFileSync(new URL(file, import.meta.url), page);
