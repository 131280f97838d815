/**
 * What verbs need from outside: types only. Each port has one contract suite in test/contract that every adapter runs.
 */
import type { BlockId, Digest } from './format/ids.ts';
import type { Grant } from './format/grant.ts';
import type { AgeRecipients } from './format/age.ts';
import type { Hint } from './format/hint.ts';
import type { FileKey } from './format/keys.ts';
import type { Layout, Root } from './format/layout.ts';
import type { Manifest } from './format/manifest.ts';
import type { StreamName } from './format/share-block.ts';
import type { Path, RelayPlace, Reservation } from './protocol/paths.ts';
import type { Ranges } from './protocol/ranges.ts';

export type { StreamName } from './format/share-block.ts';
export type { Path, RelayPlace, Reservation } from './protocol/paths.ts';

/** One block of a share: its root, an index block of a stream, or a chunk of a stream. */
export type BlockAddress =
  | { readonly kind: 'share' }
  | { readonly kind: 'index'; readonly stream: StreamName; readonly index: number }
  | { readonly kind: 'chunk'; readonly stream: StreamName; readonly index: number };

/** Which chunks of a share a source can give. A source that has any chunk has the share block and all index blocks. */
export type Holdings = 'all' | { readonly manifest: Ranges; readonly data: Ranges };

/**
 * Where blocks of shares come from: ciphertext on disk, the original files, a fetched output. Who asks sees no difference.
 * What it returns has been hashed against its CID by the source.
 */
export interface ChunkSource {
  /** Which chunks it has of `share`; undefined when it does not know the share at all. */
  have(share: BlockId): Promise<Holdings | undefined>;
  /**
   * The bytes of one block.
   * @throws ShoalError `unavailable` when it has not got the block (any more), `changed` when the original differs from
   *   what was shared (nothing of the block leaves), `io` when reading fails.
   */
  read(share: BlockId, at: BlockAddress, signal?: AbortSignal): Promise<Uint8Array>;
}

/** A source that takes blocks. It stores what it is given; checking is done by the one door before (crypto `verify`). */
export interface ChunkStore extends ChunkSource {
  write(share: BlockId, at: BlockAddress, bytes: Uint8Array): Promise<void>;
  /** Makes everything written for `share` durable. */
  sync(share: BlockId): Promise<void>;
  /** Forgets every block of `share`. */
  drop(share: BlockId): Promise<void>;
  /** The shares of which it holds anything. */
  list(): Promise<BlockId[]>;
}

/** What a store takes, in bytes. */
export interface StoreUsage {
  readonly usedBytes: number;
  /** Absent where there is no limit but the disk. */
  readonly quotaBytes?: number;
  /** What the disk has room for beside that, but for what is left to all else. */
  readonly roomBytes: number;
}

/** A store that takes no more than it is allowed to. `write` throws ShoalError `disk-full` for a chunk of data beyond that. */
export interface QuotaStore extends ChunkStore {
  /** Asked for so many bytes before something is refused; frees them, or nothing. @param wanted the share that needs them */
  makeRoom: ((neededBytes: number, wanted: BlockId, signal: AbortSignal) => Promise<void>) | undefined;
  /**
   * Keeps room for a share of which so many bytes will be there in the end, until the returned function is called.
   * @throws ShoalError `disk-full` where there is not so much
   */
  reserve(share: BlockId, totalBytes: number, signal: AbortSignal): Promise<() => void>;
  /** Bytes of all blocks of a share. */
  bytesOf(share: BlockId): Promise<number>;
  usage(): Promise<StoreUsage>;
}

/** A run of bytes of a file that is (part of) a piece. `path` is absolute. */
export interface Segment {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** What the file must look like when it is opened, where that is known (share()); else the CID alone decides. */
  readonly expect?: { readonly sizeBytes: number; readonly modifiedNs: bigint; readonly inode: bigint };
}

/** A piece to be sealed: bytes in memory, or runs of files followed by `zeros` bytes of padding. */
export interface PieceToSeal {
  /** The number of the piece in its stream: the nonce (format.md §4). */
  readonly index: number;
  readonly content: Uint8Array | readonly Segment[];
  readonly zeros: number;
}

/** A sealed piece: its digest, and the chunk itself where it was asked for. */
export interface SealedPiece {
  readonly digest: Digest;
  readonly chunk?: Uint8Array;
}

/** The costly work on chunks. Asynchronous and in batches, so that it can be done elsewhere. */
export interface Crypto {
  /**
   * Seals pieces of one stream, in the order given. Without `keep` the chunks are hashed and dropped.
   * @throws ShoalError `changed` naming the file when one is shorter than asked or does not look as expected; `io`, `denied`.
   */
  seal(key: Uint8Array, pieces: readonly PieceToSeal[], keep: boolean, signal?: AbortSignal): Promise<SealedPiece[]>;
  /**
   * Checks a chunk against its digest, then opens it. `chunk` must not be used by the caller afterwards.
   * @throws ShoalError `mismatch` when the bytes are not those of the digest, `corrupt` when they are and do not authenticate.
   */
  open(key: Uint8Array, index: number, chunk: Uint8Array, digest: Digest, signal?: AbortSignal): Promise<Uint8Array>;
  /** Checks bytes against their digest. @throws ShoalError `mismatch` */
  verify(bytes: Uint8Array, digest: Digest): Promise<void>;
  /** Seals a file key to whom a grant is for (format.md §7); a passphrase takes about a second. @throws ShoalError as `sealGrant` */
  sealGrant(key: FileKey, grant: Omit<Grant, 'sealed'>, to: AgeRecipients): Promise<Grant>;
  /** Ends the workers, where there are any. */
  close(): Promise<void>;
}

/** How a candidate was found; `local` is this home itself, `relay` a relay that the link or the configuration names. */
export type FoundVia = 'local' | 'hint' | 'mdns' | 'dht' | 'relay';

/** A peer that may have a share. Nothing about it is trusted. */
export interface Candidate {
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddrs as text, each ending in /p2p/…; empty when the network knows how to reach the peer. */
  readonly addresses: readonly string[];
  readonly via: FoundVia;
}

/** A message: a small CBOR header and bytes behind it (docs/protocol.md). */
export interface Frame {
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

/** One stream of messages to one peer. */
export interface Channel {
  /** Peer id of the other side, as text; the connection below has authenticated it. */
  readonly peer: string;
  /** Multiaddr of the other side, for display. */
  readonly address: string;
  readonly path: Path;
  /** Bytes that arrived so far, of incomplete messages too: shows that a slow peer is not a dead one. */
  readonly receivedBytes: number;
  /** Resolves when the message was taken by the stream, whose buffer is bounded. @throws ShoalError `unavailable` when the channel has ended. */
  send(header: Uint8Array, body?: Uint8Array): Promise<void>;
  /**
   * The messages that arrive, until the other side closes; can be iterated once. What arrives and is not taken is bounded
   * by MAX_UNREAD_BYTES, beyond which the channel is aborted. @throws ShoalError `unavailable` when it ends otherwise,
   * `protocol` when the other side broke the rules.
   */
  frames(): AsyncIterable<Frame>;
  /** Says that nothing more will be sent, waits until all is written, and ends the channel. */
  close(): Promise<void>;
  /** Ends the channel at once; both sides' reading fails. */
  abort(reason: Error): void;
}

/** What the program has to say to who runs it. Neither secrets nor ids nor addresses are among the fields. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** What a network can say about itself. */
export interface NetworkStatus {
  readonly connections: number;
  /** Nodes of the DHT that it knows; undefined where it takes no part in it. */
  readonly dhtPeers: number | undefined;
  /** How many peers it was given to begin at. */
  readonly startingPoints: number;
  /** Peers that the local network told of; undefined where that is not asked. */
  readonly lanPeers: number | undefined;
  /** Whether a router lets others reach this node by an address of its own, which is among the addresses then. */
  readonly portMapping: 'off' | 'none' | 'mapped';
  /** See Network. */
  readonly reservations: readonly Reservation[];
  /** The limits in force: connections, and bytes per second, where there is such a limit. */
  readonly maxConnections: number;
  readonly maxUp?: number;
  readonly maxDown?: number;
  /** What a relay has lent to others: places, and circuits between them, now; the bytes that these carried since it started. */
  readonly lent?: { readonly reservations: number; readonly circuits: number; readonly relayedBytes: number };
}

/** A connection to a peer. */
export interface ConnectedPeer {
  /** Peer id as text. */
  readonly peer: string;
  /** Multiaddr of the other side. */
  readonly address: string;
  readonly path: Path;
  /** Who dialled. */
  readonly direction: 'in' | 'out';
  /** Unix seconds. */
  readonly since: number;
}

/** What a look around has found. */
export interface Survey extends NetworkStatus {
  /** Whether what this node says to the whole local network comes back to it; `off` where it says nothing there. */
  readonly multicast: 'heard' | 'unheard' | 'off';
}

/** Peers, how they are found, and channels to them. */
export interface Network {
  /** This node's peer id, as text. */
  readonly self: string;
  /** Multiaddrs as text, each ending in /p2p/…, under which this node believes it can be reached. */
  addresses(): string[];
  status(): NetworkStatus;
  peers(): ConnectedPeer[];
  /**
   * Keeps a reservation at that relay until the returned function is called: reserves, renews, and reserves again whenever
   * it is lost. The addresses through the relay are among `addresses()` while there is one. Who asks twice for one relay
   * has to call both functions. @throws ShoalError `usage` for a multiaddr that can not be read or is another's
   */
  reserve(relay: RelayPlace): () => void;
  /** Of each relay that was asked for. */
  reservations(): Reservation[];
  /** Looks for peers in every way, for as long as it takes who is there to answer. @throws the signal's reason */
  survey(signal: AbortSignal): Promise<Survey>;
  /** Resolves when the addresses are what they will be for now: where a router or relays are asked for some, when that has ended. Or at the signal. */
  settled(signal: AbortSignal): Promise<void>;
  /**
   * A channel to a peer, over a direct connection where one is open or opens soon, else through a relay where the protocol may
   * be spoken there. A channel that goes through a relay ends with `unavailable` once a direct connection has opened.
   * @throws ShoalError `not-found` when the peer can not be reached, `protocol` when it does not speak `protocol`.
   */
  connect(candidate: Candidate, protocol: string, signal: AbortSignal): Promise<Channel>;
  /** Answers channels of `protocol`. The handler owns the channel; when it throws, the channel is aborted. */
  serve(protocol: string, handler: (channel: Channel) => Promise<void>): Promise<void>;
  /**
   * Candidates for `id`, from every way of finding at once, first come first, until the signal. May repeat a peer.
   * @param onAsked told how many nodes of the DHT have answered by now
   */
  find(
    id: BlockId,
    hints: readonly Hint[],
    signal: AbortSignal,
    onAsked?: (nodes: number) => void,
  ): AsyncIterable<Candidate>;
  /** Announces this node as a provider of `id` under its rendezvous keys, and goes on doing so. */
  announce(id: BlockId): void;
  unannounce(id: BlockId): void;
  stop(): Promise<void>;
}

/** Why a share is not served. */
export interface Refusal {
  readonly reason: 'blocked' | 'withdrawn' | 'expired' | 'changed' | 'busy' | 'over-quota';
  readonly detail?: string;
  /** Unix seconds. */
  readonly until?: number;
  /** Of what was withdrawn: the owner's signed statement and the block that it names (format.md §9). */
  readonly withdrawal?: { readonly statement: Uint8Array; readonly block: Uint8Array };
}

/** The one gate that serving, seeding, importing and announcing ask. */
export interface Refusals {
  for(id: BlockId, nowSeconds: number): Refusal | undefined;
}

/** Time comes in as an argument, so that tests can move it. */
export interface Clock {
  /** Unix milliseconds; may jump. */
  now(): number;
  /** Milliseconds that only go forward. */
  monotonic(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export type RandomBytes = (length: number) => Uint8Array;

/** What a directory entry is. */
export type EntryKind = 'file' | 'directory' | 'link' | 'other';

export interface EntryStat {
  readonly kind: EntryKind;
  readonly sizeBytes: number;
  /** Number of hard links. */
  readonly links: number;
  /** Tells two names of one file apart from two files. */
  readonly identity: string;
  /** Whether it belongs to this user. */
  readonly ours: boolean;
}

/** An open file. Positions and lengths in bytes. */
export interface OpenFile {
  /** Reads up to `into.length` bytes at `position`; fewer only at the end. Returns how many. */
  read(into: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(length: number): Promise<void>;
  stat(): Promise<EntryStat>;
  /** Sets the permission bits that the format knows, and the time. */
  setAttributes(attributes: { executable?: boolean; modifiedSeconds?: number }): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * A folder that was opened once and from then on is addressed by that handle, with names of one segment: nobody can lead
 * a write elsewhere by planting a link in the path. No method follows a symbolic link at `name`.
 * All throw ShoalError by `fileError`.
 */
export interface Directory {
  /** Creates a file that must not exist: as the user's umask has it, or with `ownerOnly` for this user only. */
  create(name: string, options?: { readonly ownerOnly?: boolean }): Promise<OpenFile>;
  /** Opens an existing regular file of this user that has one name only; `denied` when it is anything else. */
  open(name: string, mode: 'read' | 'write'): Promise<OpenFile>;
  /** Creates a folder that must not exist: for this user only, or with `shared` as the user's umask has it. */
  make(name: string, options?: { readonly shared?: boolean }): Promise<void>;
  /** Opens a folder of this user below this one; `denied` when it is a link, another's, or no folder. */
  enter(name: string): Promise<Directory>;
  list(): Promise<{ name: string; kind: EntryKind }[]>;
  /** undefined when there is nothing of that name. */
  stat(name: string): Promise<EntryStat | undefined>;
  /** Renames within one file system. Fails with `exists` where the target exists, unless `replace`. Never replaces a folder. */
  move(name: string, to: Directory, toName: string, replace?: boolean): Promise<void>;
  /** Removes a file, a link, or a folder with all that is in it; nothing when it is not there. */
  remove(name: string): Promise<void>;
  /** Makes the names in this folder durable. */
  sync(): Promise<void>;
  /** Makes everything below this folder durable, contents and names. */
  syncAll(): Promise<void>;
  close(): Promise<void>;
}

/** A file, or an empty folder, to be shared. */
export interface TreeEntry {
  /** Relative to the root, with `/` between segments; of a single file its name. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly executable: boolean;
  /** Unix seconds, rounded down. */
  readonly modifiedSeconds: number;
  /** True for a folder without anything that can be shared. */
  readonly directory?: true;
  /** What the file looks like as long as it is the same. */
  readonly stat: NonNullable<Segment['expect']>;
}

/** Something that can not be shared. `path` is relative to the root and safe to show, as is `why`. */
export interface TreeProblem {
  readonly path: string;
  readonly why: string;
  /** It is there and can't be looked into. */
  readonly isUnreadable?: true;
}

/** What is at the path or paths that a user wants to share. */
export interface Tree {
  readonly kind: 'file' | 'folder';
  /** What the share is to be called. */
  readonly name: string;
  /** Without links. */
  readonly root: Root;
  /** Sorted by the bytes of their paths (format.md §6). */
  readonly entries: readonly TreeEntry[];
  readonly problems: readonly TreeProblem[];
  /** How many files and folders were left out on request; what is in such a folder is not counted. */
  readonly excluded: number;
  /** Of what was to be left out, what nothing was found for. */
  readonly unmatched: readonly string[];
}

/** Where the plaintext of a fetched share goes, piece by piece, in any order. */
export interface Sink {
  /** Entries that got another name because the target can't hold theirs or keep it apart. */
  readonly renamed: readonly { readonly path: string; readonly as: string }[];
  /** The name that got back what an earlier run, killed as it replaced it, had set aside; only where its own was taken. */
  readonly putBack: string | undefined;
  /** Pieces that an earlier run says it has written. Not to be believed: see `read`. */
  claimed(): number[];
  /** A piece as it is there, with its padding; undefined where a part of it is missing. */
  read(index: number): Promise<{ readonly content: Uint8Array } | undefined>;
  /**
   * @param signal ends waiting for the turn of this piece, where they are written in order
   * @throws ShoalError by `fileError`
   */
  write(index: number, plaintext: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Notes that a piece was written. */
  record(index: number): Promise<void>;
  /** Gives the whole its final name, durably. @throws ShoalError `exists` unless `replace`; by `fileError` */
  finish(options: { readonly replace: boolean }): Promise<void>;
  /** Ends for now; what was written stays for a later run. */
  close(): Promise<void>;
}

/** Where a fetch puts what it gets. */
export interface Destination {
  /** Keeps the share block, index blocks and manifest between runs. */
  readonly store: ChunkStore;
  /** Pieces must come within so many of the first that is missing: for output in order. */
  readonly window?: number;
  /** What stands at the final place already; undefined for nothing. @param isWanted tells of an entry, by its number */
  standing(manifest: Manifest, isWanted: (entry: number) => boolean): Promise<Standing | undefined>;
  /**
   * Files at the final place that replacing would not replace but delete, as they are no wanted entries; the paths of the
   * first few, relative to the place and safe to show.
   */
  strangers(manifest: Manifest, isWanted: (path: string) => boolean): Promise<readonly string[]>;
  /** @throws ShoalError by `fileError`; `bad-name` for names that can not be made here; the reason of `signal` */
  open(content: SinkContent, signal: AbortSignal): Promise<Sink>;
  /** Where the output is to be found, for people. */
  pathOf(manifest: Manifest): string;
  /** Removes what earlier runs left, after it has turned out not to be needed. */
  discard(): Promise<void>;
}

/** Where a fetch would put what it gets, looked at only: nothing is made. */
export interface PlannedPlace extends Pick<Destination, 'standing' | 'strangers' | 'pathOf'> {
  /**
   * Pieces that an earlier run says it has written.
   * @param count of the pieces of the data stream
   * @throws ShoalError `in-use` while another process fetches there; by `fileError`
   */
  claimed(count: number): Promise<number[]>;
  /** Bytes that may be written there. @throws ShoalError `denied` when nothing may be; by `fileError` */
  roomBytes(): Promise<number>;
}

/** Something at the place where an output is to go. */
export interface Standing {
  /** Absolute path. */
  readonly root: string;
  readonly isFolder: boolean;
  /** Of each entry of the manifest: is there one of its kind and size, nothing, or something that is in its way? */
  readonly found: readonly ('alike' | 'none' | 'other')[];
}

/** What a sink is opened for. */
export interface SinkContent {
  readonly manifest: Manifest;
  /** Of the manifest's entries. */
  readonly layout: Layout;
  /** Bytes of the data stream with its padding. */
  readonly streamSize: number;
  /** Which entries are wanted; all when absent. */
  readonly selected?: ((entry: number) => boolean) | undefined;
  /** A folder that has some of the others: what is wanted is added to that. */
  readonly standing?: Standing | undefined;
}
