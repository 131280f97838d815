/** How peers are reached: straight, or through relays and the places that are held there. Types only. */

/** Whether bytes go straight to a peer, or a relay passes them on. */
export type Path = 'direct' | 'relay';

/** A relay, where it can be reached. */
export interface RelayPlace {
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddrs as text, with or without the peer id at their end. */
  readonly addresses: readonly string[];
  /** Done each time a connection to it has opened, before a place there is asked for. That it fails keeps nobody from asking. */
  readonly greet?: (signal: AbortSignal) => Promise<unknown>;
}

/** A place at a relay by which others reach this node, or the attempt to have one. */
export interface Reservation {
  /** The relay's peer id, as text. */
  readonly peer: string;
  readonly state: 'reserved' | 'trying';
  /** When the relay would forget it, Unix seconds by the relay's clock; it is renewed before. */
  readonly until?: number;
  /** Why there is none, as the end of a sentence. */
  readonly why?: string;
  /** Of each connection through the relay, as far as it has told: bytes in each direction or in both, and how long it may last. */
  readonly limits?: { readonly bytes?: number; readonly seconds?: number };
}
