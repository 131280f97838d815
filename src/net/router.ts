/** What a router at the edge of a private network can be asked for, by whichever protocol. */

/** A router that maps TCP ports. All throw when it refuses, or does not answer until the signal. */
export interface Router {
  readonly kind: 'NAT-PMP' | 'UPnP';
  /** What it returns is not to be believed. Mapping a port again renews it. */
  map(wanted: { port: number; wantedPort: number; lifetimeMs: number }, signal: AbortSignal): Promise<Outside>;
  unmap(mapped: { port: number; externalPort: number }, signal: AbortSignal): Promise<void>;
}

/** Where a mapped port is to be reached, and for how long. */
export interface Outside {
  readonly host: string;
  readonly port: number;
  readonly lifetimeMs: number;
}
