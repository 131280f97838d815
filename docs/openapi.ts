/** Writes docs/openapi.json, which a test compares with what the program serves: npm run openapi. */
import { writeFileSync } from 'node:fs';
import { openApi } from '../src/daemon/openapi.ts';

writeFileSync(new URL('openapi.json', import.meta.url), `${JSON.stringify(openApi(), null, 2)}\n`);
