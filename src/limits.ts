/** Every bound of the project, with its unit and the reason. Sizes are in bytes and times in milliseconds unless a name says otherwise. */

const KiB = 1024;
const MiB = 1024 * KiB;

// The format (docs/format.md); these never change in version 1.

/** No block is larger (format.md §1). */
export const MAX_BLOCK_BYTES = MiB;
/** AES-GCM's tag behind each piece (format.md §4). */
export const TAG_BYTES = 16;
/** Plaintext per chunk: a full chunk is exactly one block (format.md §4). */
export const PIECE_BYTES = MAX_BLOCK_BYTES - TAG_BYTES;
/** Chunks that a share block lists itself; from one more on it lists index blocks (format.md §5). */
export const MAX_DIRECT_CHUNKS = 2048;
/** Chunk CIDs per index block (format.md §5). */
export const CHUNKS_PER_INDEX = 16_384;
/** The smallest padded stream (format.md §4). */
export const MIN_PADDED_BYTES = 4096;
/** Canonical CBOR of a manifest (format.md §6). */
export const MAX_MANIFEST_BYTES = 2 ** 26;
/** Entries of a manifest (format.md §6). */
export const MAX_ENTRIES = 2 ** 20;
/** Bytes of a path, of one segment and of a note, in UTF-8 (format.md §6). */
export const MAX_PATH_BYTES = 4096;
export const MAX_SEGMENT_BYTES = 255;
export const MAX_NOTE_BYTES = 4096;
/** Seconds around 1970 that `modified` may say (format.md §6; the range of ECMAScript's Date). */
export const MAX_MODIFIED_SECONDS = 8.64e12;
/** Nesting of CBOR values (format.md §2). */
export const MAX_CBOR_DEPTH = 8;
/** Characters and hints of a link (format.md §8). */
export const MAX_LINK_CHARS = 2048;
export const MAX_LINK_HINTS = 8;
/** The age file inside a grant (format.md §7). */
export const MAX_SEALED_BYTES = 64 * KiB;
/** scrypt work factor (log2 N) that we write, and the most that we compute for others (format.md §7). */
export const SCRYPT_LOG_N = 18;
export const MAX_SCRYPT_LOG_N = 20;

/** The header of a CAR file. Ours has one root; those of others are read so far as to say how many they have. */
export const MAX_CAR_HEADER_BYTES = 4 * KiB;

// On the wire (docs/protocol.md).

/** A message's CBOR header: ranges are what grows, and they are bounded below. */
export const MAX_HEADER_BYTES = 64 * KiB;
/** Numbers in one message's ranges, two per range: keeps a header within its limit (9 bytes each at worst, two streams). */
export const MAX_RANGE_NUMBERS = 2048;
/** Bytes asked for and not yet received on one channel: below libp2p's read buffer, enough to fill a fast line. */
export const CREDIT_BYTES = 6 * MiB;
/** Received and not yet taken by the reader, per channel: the credit and a few messages; more is a broken peer. */
export const MAX_UNREAD_BYTES = CREDIT_BYTES + 2 * MiB;
/** Counted beside the bytes of a message that was received and not taken: many tiny ones cost more than their bytes. */
export const FRAME_OVERHEAD_BYTES = 256;
/** What libp2p holds for a stream whose reader has not begun yet, beyond which it resets the stream: more than the largest window. */
export const MAX_READ_BUFFER_BYTES = 8 * MiB;
/** What a stream may have on its way at most: the credit with its headers, and some more, so that it never waits for window. */
export const MAX_STREAM_WINDOW_BYTES = CREDIT_BYTES + MiB;
/** Blocks that one message may ask for; the credit allows few anyway, and this is checked before they are listed. */
export const MAX_ASKED = 64;
/** Blocks made at once for one channel: enough to keep two workers busy, few enough to bound memory. */
export const READS_PER_CHANNEL = 3;
/** Blocks made at once for all channels, beyond which each has one at a time: peers that stop reading hold what was made for them. */
export const MAX_READS = 64;
/** A peer that opened a channel says hello within this time. */
export const HELLO_TIMEOUT_MS = 15_000;
/** A channel on which nothing was asked for so long is closed by the server. */
export const IDLE_CHANNEL_TIMEOUT_MS = 10 * 60_000;
/** When all channels are taken, the one on which nothing was asked for longest, and for so long at least, gives way to a new one. */
export const YIELDING_CHANNEL_MS = 5_000;
/** A write that makes no progress for so long ends the channel: the peer has stopped reading. */
export const STALLED_WRITE_TIMEOUT_MS = 60_000;
/** What a stream may hold back from its connection when a message counts as sent: a block, so that the line is busy until the next one is made. */
export const MAX_UNSENT_BYTES = MAX_BLOCK_BYTES;
/** Who closed a channel waits so long for the other side to do the same. */
export const CLOSE_LINGER_MS = 10_000;
/** What was written gets so much time to leave when a node stops. */
export const HANG_UP_MS = 1_000;
/** Dialling one peer. */
export const DIAL_TIMEOUT_MS = 10_000;
/** Channels that one peer may hold open at once, and all together: memory is credit times channels at worst. */
export const MAX_CHANNELS_PER_PEER = 16;
export const MAX_CHANNELS = 256;
/** Connections of a node, unless its user says otherwise; beyond, those that have no channel give way to new ones. */
export const MAX_CONNECTIONS = 300;
/** What a user may ask for: few peers and the DHT fit into the least, and the memory for the most is some hundred MiB. */
export const LEAST_CONNECTIONS = 8;
export const MOST_CONNECTIONS = 2000;
/** Of all places, the share that one host may take: many homes may have one address, and none may take all. */
export const SHARE_PER_HOST = 1 / 2;
/** … and that of what a node dials itself, kept free of those who come: its own fetches are not kept out by those it serves. */
export const SHARE_FOR_DIALS = 1 / 16;
/** A connection from outside that has had no channel for so long is closed while more than this share are such: a few save their owners from dialling again. */
export const IDLE_CONNECTION_MS = 30_000;
export const SHARE_OF_IDLE = 1 / 6;
/** How often such connections are looked for. */
export const CROWD_CHECK_MS = 10_000;
/** Peers that a home remembers, several times what the DHT's routing table holds, and bytes about each: those that identify takes, and some more. */
export const MAX_STORED_PEERS = 1000;
export const MAX_STORED_PEER_BYTES = 16 * KiB;
/** Announcements of others that a DHT server keeps, of some hundred bytes each. */
export const MAX_STORED_ANNOUNCEMENTS = 50_000;
/** New connections per second from one host before they are refused: many homes may share one machine. */
export const MAX_INBOUND_PER_SECOND = 100;
/** An inbound connection finishes its handshake within this time: a few round trips on a bad line. */
export const INBOUND_HANDSHAKE_MS = 5_000;
/** Inbound connections that have not finished their handshake: more than one host can begin in that time, so that it can't keep others out. */
export const MAX_PENDING_INBOUND = 512;

// Limits of bytes per second, each way.

/** The least that a limit may be: with less, peers that share it wait so long for their turns that they take us for dead. */
export const MIN_BYTES_PER_SECOND = 10_000;
/** Of a limit, each peer of a fetch should have so much: a sender takes who lets no window pass in a minute for one that has stopped reading. */
export const PEER_BYTES_PER_SECOND = 20_000;
/** What may pass at once is so much time's worth: short for who waits for a turn, long enough for timers. */
export const SLICE_MS = 50;
/** … but no less, and no more: each slice is a write of its own, and it leaves at the speed of the line. */
export const MIN_SLICE_BYTES = KiB;
export const MAX_SLICE_BYTES = 256 * KiB;
/** Of the time in which nothing passed, so much is made up for: as late as a busy process may be with its next slice. */
export const RATE_BURST_MS = 100;

// Fetching.

/** Peers that a fetch holds open at once; more are kept in reserve. */
export const MAX_ACTIVE_PEERS = 8;
/** Candidates that a fetch remembers per share; a flood of false providers does not grow memory. */
export const MAX_CANDIDATES = 512;
/** Dials under way at once for one share: fifty dead providers and a live one cost seconds. */
export const MAX_PARALLEL_DIALS = 12;
/** A request is stalled when nothing of it came for the larger of this and a multiple of what the peer's rate predicts. */
export const MIN_STALL_MS = 4_000;
export const MAX_STALL_MS = 60_000;
/** Chunks received, being verified, opened and written at once: bounds memory (one MiB each, twice for the plaintext). */
export const MAX_CHUNKS_IN_WORK = 12;
/** Output in order: pieces asked for ahead of the first that is missing; fewer than are in work at once, or nothing would move. */
export const STREAM_WINDOW = 8;
/** A fetch moves when so much more has come, or a block is complete: a peer that trickles does not keep it from ending. */
export const MOVED_BYTES = 16 * KiB;
/** A search that found nobody says so after this time. */
export const NOBODY_FOUND_NOTICE_MS = 10_000;
/** Off a terminal a fetch gives up when nothing has moved for so long (experience.md). */
export const DEFAULT_TIMEOUT_MS = 5 * 60_000;
/** Pause before a peer that vanished or was busy is tried again; doubles up to the larger. */
export const MIN_RETRY_MS = 500;
export const MAX_RETRY_MS = 30_000;

/** Peers out of reach whose addresses are shown when a fetch is explained: enough to see what they have in common. */
export const MAX_EXPLAINED_PEERS = 4;

/** Who only looks what a fetch would do gives peers so long to turn up, once it has the names: what answers a local network and a hint. */
export const LOOK_AROUND_MS = 1_000;

/** Chunks that a check gets to tell which of several small files in one of them differs; in more of them it does not tell. */
export const MAX_CHECK_CHUNKS = 64;
/** They are waited for so long altogether. */
export const CHECK_CHUNKS_PATIENCE_MS = 30_000;

/** How often slow peers and due retries are looked for. */
export const TICK_MS = 500;
/** When everyone who knew the share has refused it, others get so much time to turn up. */
export const REFUSED_GRACE_MS = 5_000;

// Sharing.

/** Paths of one share: each is looked at whenever somebody asks for it. */
export const MAX_PATHS = 10_000;
/** Names of files that a message lists before it says that there are more: so many make clear what is meant. */
export const NAMES_SHOWN = 3;
/** Pieces that one worker task reads and seals: large enough to make the hand-over cheap, small enough for even progress. */
export const PIECES_PER_TASK = 4;
/** Blocks of memory that are kept for use again; more are under way at most. */
export const MAX_SPARE_BLOCKS = 16;
/** Tasks given to the workers and not done: keeps them busy, and bounds what is under way. */
export const TASKS_AHEAD = 6;
/** Below this size work is done in the calling thread: starting workers costs more than it saves. */
export const MIN_POOL_BYTES = 8 * MiB;
/**
 * With fewer workers a single block is sealed or opened in the calling thread: sharer and fetcher fill two processors with
 * their main threads, and handing a block over and waiting for it costs as much as the block itself.
 */
export const MIN_WORKERS_FOR_ONE = 3;
/** Sealing a piece takes one or two milliseconds; longer on average, and its file is on a slow disk. */
export const SLOW_SEAL_MS = 8;
/** Shares whose manifests are kept in memory for serving; others are read again. */
export const CACHED_ORIGINALS = 32;
/** Worker threads at most; beyond that the disk or the network is the limit. */
export const MAX_WORKERS = 4;
/** A worker thread without work ends after this time. */
export const IDLE_WORKER_MS = 5_000;
/** Index blocks kept in memory per share (512 KiB each); others are read again. */
export const CACHED_INDEX_BLOCKS = 8;
/** Shares whose listing a store keeps in memory at once; others are read again. */
export const CACHED_LISTINGS = 8;

// Files.

/** Read at once from a file that is read from its beginning to its end. */
export const READ_BYTES = 256 * KiB;
/** Steps like opening a file are handed to other threads once they take longer than this on average: a local disk takes a tenth. */
export const SLOW_STEP_MS = 1;
/** The same for looking whether a file is there. That is so short that one interruption by other work must not decide. */
export const SLOW_LOOK_MS = 4;
/** Files that are looked for at once: what a slow disk has under way, and far less than ten thousand promises. */
export const LOOKS_AT_ONCE = 16;
/** Once steps have turned out to be slow, others do the waiting for so long; then it is tried again. */
export const SLOW_FOR_MS = 10_000;
/** Written in the calling thread while steps are quick; more takes long enough to be handed over. */
export const SMALL_WRITE_BYTES = 32 * KiB;
/** How often the traffic of shares is noted in the catalog. */
export const TRAFFIC_FLUSH_MS = 5_000;

/** Files and folders held open while a tree is written: several fetches fit the usual limit of 1,024. */
export const MAX_OPEN_FILES = 64;
/** Folders of chunks that a store holds open. */
export const MAX_OPEN_FOLDERS = 32;
/** The longest that a process waits for another one that writes the catalog; each write takes milliseconds. */
export const CATALOG_BUSY_MS = 10_000;

// The DHT (docs/protocol.md).

/** Announcements are renewed well before they lapse after 24 hours. */
export const REANNOUNCE_MS = 6 * 3600_000;
/** A fetch that still looks for peers asks the DHT again after this time. */
export const LOOKUP_INTERVAL_MS = 10_000;
/** One look-up or announcement of one key takes no longer. */
export const DHT_QUERY_TIMEOUT_MS = 60_000;
/** Where nobody is known to announce to, that is looked for again after this time at most; it costs nothing. */
export const MAX_ALONE_CHECK_MS = 4_000;
/** Announcements under way at once. */
export const MAX_PARALLEL_ANNOUNCEMENTS = 4;
/** How often a node looks whether its addresses or the clock have jumped, and then announces again. */
export const NETWORK_CHECK_MS = 30_000;
/** The wall clock may drift so far from the monotonic one within one check before the machine is taken to have slept. */
export const MAX_CLOCK_DRIFT_MS = 60_000;

// The router in front of a private network.

/** For so long a port is asked for, and renewed after half of it: a router that has restarted is asked again soon. */
export const MAPPING_MS = 20 * 60_000;
/** What a router says of that is believed within these: one that says less would be asked all the time. */
export const MIN_MAPPING_MS = 2 * 60_000;
export const MAX_MAPPING_MS = MAPPING_MS;
/** Where no router offers a port, it is looked for again after this time, or when the network changes. */
export const MAPPING_RETRY_MS = 10 * 60_000;
/** External ports that are tried: others behind the same router may have the first. */
export const PORT_TRIES = 3;
/** For so long a router may be silent before there is none; one at home answers in milliseconds, to a search within a second. */
export const ROUTER_PATIENCE_MS = 4_000;
/** A request by UDP is repeated after this time, then after pauses that double (RFC 6886). */
export const FIRST_ROUTER_RETRY_MS = 250;
/** One request by HTTP. */
export const ROUTER_REQUEST_MS = 3_000;
/** A description of a router has some KiB; anyone on the local network may pretend to be one. */
export const MAX_ROUTER_ANSWER_BYTES = 64 * KiB;
/** Those that answered a search and are asked for their description. */
export const MAX_ROUTERS = 4;

// The local network.

/** A search asks the local network so often for its first ten seconds; then the pauses double up to the larger. */
export const LAN_QUERY_MS = 2_000;
export const LAN_EAGER_MS = 10_000;
export const MAX_LAN_QUERY_MS = 60_000;
/** Who looks around waits so long for others to answer. */
export const SURVEY_MS = 3_000;
/** Peers of the local network that are remembered. */
export const MAX_LAN_PEERS = 256;
/** Addresses told by the local network that may be dialled. */
export const MAX_LAN_ADDRESSES = 8 * MAX_LAN_PEERS;

// What people see.

/** As much of an id as tells shares of one home apart; it can be typed in place of the whole. */
export const SHORT_ID_CHARS = 16;

// The home's holder.

/** A request over the socket: the paths of a share, of which a command line holds 2 MiB on Linux, as JSON. */
export const MAX_API_BODY_BYTES = 4 * MiB;
/** What may wait to be read by who asked. */
export const MAX_API_BACKLOG_BYTES = MiB;
/** A stream of events on which nothing happens says so this often, for what is on the way and closes quiet connections. */
export const API_ALIVE_MS = 15_000;
/** A process that holds the home and does not answer yet, or any more, is waited for. */
export const HOLDER_PATIENCE_MS = 20_000;
export const HOLDER_RETRY_MS = 100;
/** Another fetch of the same to the same place that is just ending is waited for. */
export const PART_PATIENCE_MS = 3_000;
/** Another import or fetch of the same share into the same home that is just ending is waited for. */
export const SHARE_PATIENCE_MS = 3_000;

// What the doctor looks for.

/** With less room than this a fetch of a few films fails, and so may SQLite. */
export const LOW_DISK_BYTES = 1_000_000_000;
/** No clock that is right says less than this: it is when this was written (Unix milliseconds). */
export const EARLIEST_NOW_MS = Date.UTC(2026, 10, 1);
/** What was written by a clock that is this much ahead of the present one shows that one of the two is wrong. */
export const MAX_CLOCK_AHEAD_MS = 3_600_000;

// The daemon.

/** Fetches that a daemon carries out at once; more take turns. One that finds nobody costs a look-up now and then. */
export const MAX_TRANSFERS = 16;
/** Fetches that are done and still listed; older ones are forgotten. */
export const MAX_DONE_TRANSFERS = 100;
/** A daemon that has been told to stop has ended after this time; how often that is looked for. */
export const DAEMON_PATIENCE_MS = 30_000;
export const DAEMON_POLL_MS = 50;
/** The log of a daemon in the background, beside as much of the one before. */
export const MAX_LOG_BYTES = 5 * MiB;
/** Who follows transfers is told of their progress so often. */
export const TRANSFER_EVENT_MS = 500;
// Configuration.

/** A configuration file, of which the template takes a tenth: its parser needs a multiple of that in memory and time. */
export const MAX_CONFIG_BYTES = 64 * KiB;
/** Sections within sections that are looked into; a program has one level. */
export const MAX_CONFIG_DEPTH = 4;
/** Problems of one file that are told; with more, all of it is wrong. */
export const MAX_CONFIG_PROBLEMS = 20;

/** Connections to the API at a time; more are hung up on. Each takes a file descriptor, of which the process needs others. */
export const MAX_API_CONNECTIONS = 256;
/** How long a request to the API may take to arrive, in ms. */
export const API_REQUEST_MS = 10_000;

// Connections through relays, as their client.

/** What a relay answers when it is asked for a reservation: a dozen addresses and a signed voucher, and as much again. */
export const MAX_RESERVATION_BYTES = 4 * KiB;
/** Addresses that are believed of one relay: it has some names and networks, and links have place for few. */
export const MAX_RELAY_ADDRESSES = 8;
/** A relay answers within this time, or its connection is taken to be dead. */
export const RESERVE_TIMEOUT_MS = 10_000;
/** How often is looked whether the machine has slept or changed networks; no reservation is renewed more often. */
export const RESERVATION_CHECK_MS = 5_000;
/** A reservation is renewed at half of its time and this often at least: the relay's clock may be wrong. */
export const MAX_RENEWAL_MS = 30 * 60_000;
/** So much earlier than through a relay a peer is dialled directly: enough for a handshake across the world, and hardly felt. */
export const DIRECT_HEAD_START_MS = 750;
