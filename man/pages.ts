/** The man pages that there are. */
import { definitionsOf } from '../cli/program.ts';
import { programOf } from '../relay/program.ts';
import { VERSION } from '../src/version.ts';
import { manualPage } from './page.ts';
import { RELAY } from './relay.ts';
import { SHOAL } from './shoal.ts';

/** By the names of their files. */
export function pages(): ReadonlyMap<string, string> {
  return new Map([
    ['shoal.1', manualPage(definitionsOf(VERSION), VERSION, SHOAL)],
    ['shoal-relay.1', manualPage(relayDefinitions(), VERSION, RELAY)],
  ]);
}

function relayDefinitions(): ReturnType<typeof programOf> {
  const none = (): never => {
    throw new Error('these commands are only described');
  };
  return programOf({ version: VERSION, print: none, contextOf: none, start: none, onExitCode: none });
}
