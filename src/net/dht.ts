/** What is used of kad-dht. */
import type { KadDHT } from '@libp2p/kad-dht';

export type Dht = Pick<KadDHT, 'findProviders' | 'provide' | 'cancelReprovide' | 'getMode'> & {
  /** In every instance, though not in kad-dht's own type. */
  readonly routingTable?: { readonly size: number };
};

/** How many DHT servers this node knows. */
export function routingTableSize(dht: Dht): number {
  return dht.routingTable?.size ?? 0;
}
