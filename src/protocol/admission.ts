/** Who may have how much of a relay: what it lends, and what it says when it does not (docs/relay.md). Types only. */

/** Who asks a relay for something. Before a connection is encrypted only its address is known. */
export interface Asker {
  /** Peer id as text. */
  readonly peer?: string;
  /** Multiaddr of the other end of the connection, as text. */
  readonly address: string;
}

/** What a relay lends, and takes back when it is released. */
export type Loan = 'connection' | 'reservation' | 'circuit' | 'upload';

/** A limit that was hit, and when to ask again. */
export interface Denied {
  /** Which limit, for people: "64 reservations per address prefix". Names neither peers nor addresses. */
  readonly denied: string;
  /** Whose limit it is. */
  readonly of: 'relay' | 'prefix' | 'peer' | 'token';
  readonly retryAfterSeconds: number;
}

/** Something that was lent. */
export interface Permit {
  /** Gives it back; once, further calls do nothing. */
  release(): void;
}

/** What one who asks may have of a relay; each is what the relay tells and what it holds to. */
export interface Quotas {
  /** Who is counted together: the holders of a token, else an address prefix, in a form that does not show it. */
  readonly account: string;
  readonly tier: 'anonymous' | 'token' | 'operator';
  readonly reservationSeconds: number;
  /** Of one circuit: bytes in both directions together, and how long it may last. */
  readonly circuitBytes: number;
  readonly circuitSeconds: number;
  /** Of all leases of the account together. */
  readonly leases: number;
  readonly storedBytes: number;
  /** How far from now a lease may end. */
  readonly leaseSeconds: number;
}

/**
 * Who may have how much of a relay. All limits that concern who asks must pass (the relay's own, of the address prefix, of
 * the peer, of its token), and nothing is taken where one does not.
 */
export interface Admission {
  admit(loan: Loan, who: Asker): Permit | Denied;
  /** Counts bytes about to pass: through circuits, or of blocks to who fetches. Nothing is counted where it is denied. */
  spend(what: 'relayed' | 'served', who: Asker, bytes: number): Denied | undefined;
  quotasOf(who: Asker): Quotas;
}
