/** What a relay of a home is called, and where it is. */
import type { RelayRecord } from './catalog.ts';
import type { Candidate } from './ports.ts';

/** What a relay is called among people. */
export function nameOf({ origin, name, peer }: RelayRecord): string {
  return origin ?? name ?? peer;
}

export function candidateOf({ peer, addresses }: RelayRecord): Candidate {
  return { peer, addresses, via: 'hint' };
}
