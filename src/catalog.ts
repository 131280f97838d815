/** The Catalog port: what a home knows of its shares, relays and fetches. Types only; test/contract/catalog.ts is its suite. */
import type { BlockId } from './format/ids.ts';
import type { Root } from './format/layout.ts';

/** What a home knows about a share of its own. */
export interface ShareRecord {
  readonly id: BlockId;
  readonly kind: 'file' | 'folder';
  readonly name: string;
  /** Sum of the entries' sizes. */
  readonly sizeBytes: number;
  readonly files: number;
  /** Where its chunks come from: the user's files, a copy made when sharing, a fetched output, or ciphertext from elsewhere. */
  readonly source: 'original' | 'copy' | 'fetched' | 'imported';
  /** Where the files are, for `original` and `fetched`. */
  readonly root?: Root;
  /** What the files looked like when they were shared. */
  readonly fingerprint?: Uint8Array;
  /** What the sharer said of it, where it is the home's own. */
  readonly note?: string;
  /** Hints of its link, as text. */
  readonly hints: readonly string[];
  /** Unix seconds. */
  readonly createdAt: number;
  /** `withdrawn` by its owner, and `expired`, are for good: its ciphertext is not here any more. */
  readonly state: 'ready' | 'changed' | 'withdrawn' | 'expired';
  /** How the files differ from what was shared. */
  readonly changedWhy?: string;
  /** When nobody is to serve it any more, by its share block; Unix seconds, never when absent. */
  readonly expires?: number;
  /** It is served under a peer id of its own. */
  readonly freshId?: true;
  /** Complete copies elsewhere when that was looked at last, and when that was, in Unix seconds. */
  readonly copiesElsewhere?: number;
  readonly lookedAt?: number;
  readonly hasKey: boolean;
  readonly bytesUp: number;
  readonly peersServed: number;
  /** Whether a daemon of the home serves it whenever it runs, without a command that asks for it. */
  readonly serveAlways: boolean;
  /** After so many more complete deliveries it is not served any more; for ever when absent. */
  readonly downloadsLeft?: number;
}

/** What is told of a share when it is added; the rest comes by itself. */
export type NewShareRecord = Omit<
  ShareRecord,
  'state' | 'changedWhy' | 'hasKey' | 'bytesUp' | 'peersServed' | 'downloadsLeft' | 'copiesElsewhere' | 'lookedAt'
>;

/** A fetch that a home carries out without a command that waits for it, in the end or on the way to it. */
export interface TransferRecord {
  /** Short, and different from all others of the home. */
  readonly id: string;
  readonly share: BlockId;
  /** An absolute path: a folder to put the output into, or its final place. */
  readonly output: string;
  /** Globs of entries; all when empty. */
  readonly only: readonly string[];
  readonly force: boolean;
  readonly keep: boolean;
  /** `wanted` until it is there; a failed one waits to be resumed. */
  readonly state: 'wanted' | 'paused' | 'done' | 'failed';
  /** Why it failed, as a sentence. */
  readonly detail?: string;
  /** Of what is fetched, once it is known: its name, and the bytes of all that is to come. */
  readonly name?: string;
  readonly sizeBytes?: number;
  /** What of that was there when this was written. */
  readonly doneBytes?: number;
  /** Where it is, once it is there. */
  readonly path?: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** The transfers that a home keeps, with their links, which are stored only wrapped. */
export interface TransferList {
  /** In the order in which they were created. Leaves out what is damaged. */
  list(): TransferRecord[];
  /** The link that a transfer follows, as text. */
  linkOf(id: string): string | undefined;
  add(record: TransferRecord, link: string): void;
  /** Takes the place of what was known of it; its link stays. Nothing when it is not there. */
  update(record: TransferRecord): void;
  /** Pauses all that are not done, damaged ones too, and takes from them the leave to overwrite. */
  pauseAll(): void;
  remove(id: string): void;
}

/** A relay that a home uses; `addedAt` in Unix seconds. What the relay says of itself is not kept but asked for. */
export interface RelayRecord {
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddrs as text, each ending in /p2p/ and its peer id. */
  readonly addresses: readonly string[];
  /** The origin through which it was found, which also makes the shortest hint. */
  readonly origin?: string;
  readonly name?: string;
  /** Whether it is used for all shares; else only for those that were shared with it by name. */
  readonly always: boolean;
  readonly addedAt: number;
}

/** The relays of a home, with their invite tokens, which are stored only wrapped. */
export interface RelayList {
  /** In the order in which they were added. Leaves out what is damaged. */
  list(): RelayRecord[];
  /** Adds one, or takes the place of what was known of the same peer; a token that is not given is kept. */
  put(record: RelayRecord, token?: string): void;
  tokenOf(peer: string): string | undefined;
  /** Forgets it, and the copies that are there. */
  remove(peer: string): void;
}

/** A copy of a share's ciphertext at a relay, there or wanted. Times are Unix seconds. */
export interface CopyRecord {
  readonly share: BlockId;
  /** Peer id as text. */
  readonly relay: string;
  /** `stored` by the relay's receipt. */
  readonly state: 'wanted' | 'stored';
  /** When the lease ends, where there is one. */
  readonly until?: number;
  /** The relay's receipt, as it came. */
  readonly receipt?: Uint8Array;
  /** When the relay gave all chunks that it was asked for, of those that are kept. */
  readonly checkedAt?: number;
  /** Why it is not as it should be. */
  readonly detail?: string;
}

/** Where the shares of a home are stored. */
export interface CopyList {
  /** Of one share, or of all. Leaves out what is damaged. */
  list(share?: BlockId): CopyRecord[];
  /** Takes the place of what was known of it. Nothing for a share or relay that the home has not got. */
  put(record: CopyRecord): void;
  remove(share: BlockId, relay: string): void;
}

/** A grant of a share of this home, made here or come with it. */
export interface GrantRecord {
  readonly id: BlockId;
  readonly share: BlockId;
  /** The grant block. */
  readonly block: Uint8Array;
  /** Whom it was made for, as the home's user called them: nothing of a grant that was not made here. */
  readonly madeFor: readonly string[];
  /** Unix seconds. */
  readonly createdAt: number;
  /** By the grant itself; Unix seconds, never when absent. */
  readonly expires?: number;
  /** Whether the home made it, and can withdraw it. */
  readonly isOwn: boolean;
}

/** The grants of a home's shares; each goes with its share. */
export interface GrantList {
  /** Of one share, or of all, in the order in which they came. Leaves out what is damaged. */
  list(share?: BlockId): GrantRecord[];
  get(id: BlockId): GrantRecord | undefined;
  /** Those whose id begins like this. */
  findByPrefix(prefix: string): GrantRecord[];
  /** Adds one; nothing where it is there already, or its share is not. @param ownerSalt of its owner key, where it was made here */
  add(record: Omit<GrantRecord, 'isOwn'>, ownerSalt?: Uint8Array): void;
  /** The seed of its owner key, where it was made here: 32 bytes. */
  ownerSeedOf(id: BlockId): Uint8Array | undefined;
  remove(id: BlockId): void;
  /** Of a share, those that a relay has not got yet, as far as is known. */
  missingAt(relay: string, share: BlockId): GrantRecord[];
  /** Copies at relays that lack grants of their shares, as far as is known. */
  lacking(): { readonly share: BlockId; readonly relay: string }[];
  /** The relays that keep a grant's share and have not got the grant, as far as is known. */
  missing(id: BlockId): string[];
  /** Notes that a relay has it. */
  isAt(relay: string, id: BlockId): void;
  /** Forgets what a relay has of a share's grants. */
  goneFrom(relay: string, share: BlockId): void;
}

/** A withdrawal that this home has signed, or obeys. It is kept for good, also where the share is forgotten. */
export interface WithdrawalRecord {
  /** Of the share or grant that was withdrawn. */
  readonly id: BlockId;
  /** The share itself, or the one that the grant names. */
  readonly share: BlockId;
  /** The signed statement, and the block that it names: checked. */
  readonly statement: Uint8Array;
  readonly block: Uint8Array;
  /** When its owner says it was made; Unix seconds. */
  readonly at: number;
  /** Made here: this home tells others. */
  readonly isOwn: boolean;
}

/** Somebody who is to be told of a withdrawal of this home. Times are Unix seconds. */
export interface NoticeRecord {
  /** Of the withdrawal. */
  readonly id: BlockId;
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddrs as text. */
  readonly addresses: readonly string[];
  readonly isRelay: boolean;
  /** `obeyed` as it has confirmed; `dropped`: it does not hold it, or does not believe it. */
  readonly state: 'pending' | 'obeyed' | 'dropped';
  /** When it was tried last, or was confirmed. */
  readonly at: number;
  /** Why it has not been told yet. */
  readonly detail?: string;
}

/** The withdrawals that a home knows, and who has been told of its own. */
export interface WithdrawalList {
  ids(): BlockId[];
  get(id: BlockId): WithdrawalRecord | undefined;
  /** Those of this home, oldest first. */
  own(): WithdrawalRecord[];
  /**
   * Notes it for good, nothing where it is known already; a share of the home that it names is `withdrawn` from then on, and a
   * grant that it names is removed.
   */
  add(record: WithdrawalRecord): void;
  /** Who is to be told, or was. */
  notices(id: BlockId): NoticeRecord[];
  /** Takes the place of what was known of the same peer. */
  putNotice(notice: NoticeRecord): void;
}

/** Somebody whom the user grants shares to. `addedAt` in Unix seconds. */
export interface ContactRecord {
  readonly name: string;
  /** An age recipient. */
  readonly recipient: string;
  readonly addedAt: number;
}

/** The address book of a home. */
export interface ContactList {
  /** By name. */
  list(): ContactRecord[];
  get(name: string): ContactRecord | undefined;
  /** Adds one, or takes the place of who had the name. */
  put(record: ContactRecord): void;
  remove(name: string): void;
}

/**
 * The shares of a home and their secrets, which are stored only wrapped by the home's own. What was written is durable when
 * the method returns; several processes may read and write at once.
 * All methods throw ShoalError `home` when the catalog, or what it knows of that share, is damaged; `io`, `disk-full`.
 */
export interface Catalog {
  readonly transfers: TransferList;
  readonly relays: RelayList;
  readonly copies: CopyList;
  readonly grants: GrantList;
  readonly withdrawals: WithdrawalList;
  readonly contacts: ContactList;
  /**
   * Notes, before the first block of a share is written, that its blocks are debris until the share is added. Nothing for a
   * share that is there.
   */
  begin(id: BlockId): void;
  /**
   * Adds a share, or takes the place of what was known of the same id: it is `ready` then; traffic, and secrets that are not
   * given, are kept. Its blocks are no debris any more.
   */
  add(record: NewShareRecord, secrets: { readonly key?: Uint8Array; readonly ownerSalt?: Uint8Array }): void;
  get(id: BlockId): ShareRecord | undefined;
  /** In the order in which they were created, without their fingerprints. Leaves out what is damaged. */
  list(): ShareRecord[];
  /** Shares whose files differ from what was shared. */
  changed(): BlockId[];
  /** How many shares there are. */
  count(): number;
  /** Shares of the files at exactly this place, in the order in which they were created. */
  findByRoot(root: Root): ShareRecord[];
  /** Those whose id begins like this, in the order in which they were created. */
  findByPrefix(prefix: string): ShareRecord[];
  /** The bytes of the file key, where the home has it. */
  keyOf(id: BlockId): Uint8Array | undefined;
  /** The seed of the share's owner key, where the share is the home's own: 32 bytes. */
  ownerSeedOf(id: BlockId): Uint8Array | undefined;
  /** The seed that belongs to the salt of an owner key: for a share that is about to be made. */
  ownerSeed(salt: Uint8Array): Uint8Array;
  /** Marks a share whose files differ from what was shared. */
  markChanged(id: BlockId, why: string): void;
  /** Marks a share that has expired, by a clock that can be believed. */
  markExpired(id: BlockId): void;
  /** Shares and grants that end, with when that is, soonest first; Unix seconds. `isOver`: it is marked so. */
  expiries(): { readonly id: BlockId; readonly expires: number; readonly isOver: boolean }[];
  /** Notes how many complete copies of a share there are elsewhere. */
  noteCopies(id: BlockId, copiesElsewhere: number, lookedAt: number): void;
  addTraffic(id: BlockId, bytes: number, peers: number): void;
  /** Says how a share is served from now on. */
  serveAs(id: BlockId, how: Pick<ShareRecord, 'serveAlways' | 'downloadsLeft'>): void;
  /** Forgets a share and its secrets; nothing when it is not there. Its blocks are debris from then on. */
  remove(id: BlockId): void;
  /** Shares whose blocks, where there are any, may be removed: those begun and not added, and those that were forgotten. */
  debris(): BlockId[];
  /** Notes that the blocks of a share that were debris are gone. */
  clear(id: BlockId): void;
  setting(name: string): string | undefined;
  /** Stores a setting; without a value it is removed. */
  setSetting(name: string, value: string | undefined): void;
  close(): void;
}
