/** What is used of kad-dht. */
import type { KadDHT } from '@libp2p/kad-dht';
import { MAX_HEARD_PROVIDERS } from '../limits.ts';

export type Dht = Pick<KadDHT, 'findProviders' | 'provide' | 'cancelReprovide' | 'getMode'> & {
  /** In every instance, though not in kad-dht's own type. */
  readonly routingTable?: { readonly size: number };
};

/** How many DHT servers this node knows. */
export function routingTableSize(dht: Dht): number {
  return dht.routingTable?.size ?? 0;
}

/** What a look-up takes its limit from; in every instance, though not in kad-dht's own type. */
interface WithContentRouting {
  readonly contentRouting?: { routingTable: { readonly kBucketSize: number } };
}

/**
 * kad-dht ends a look-up with the twentieth provider that anybody names: one liar close to a key would hide all others. Here
 * a look-up goes on until it has asked who is closest.
 */
export function lookingOn(dht: KadDHT): KadDHT {
  const { contentRouting } = dht as WithContentRouting;
  if (contentRouting !== undefined) contentRouting.routingTable = { kBucketSize: MAX_HEARD_PROVIDERS };
  return dht;
}
