/** How bytes come from peers, in words. */
import type { Path } from '../src/ports.ts';

/** As the end of a phrase about peers: straight or by way of relays; nothing where there are none. */
export function waysOf(paths: readonly Path[]): string {
  const relayed = paths.filter(path => path === 'relay').length;
  if (paths.length === 0) return '';
  if (relayed === 0) return ', direct';
  return relayed === paths.length ? ', through a relay' : `, ${relayed} of them through a relay`;
}
