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
/** Of the random salt from which, with the home's secret, the owner key of a share or grant comes. */
export const OWNER_SALT_BYTES = 32;
/** How long who makes a grant waits for relays to have it; those that have not are given it later. */
export const GRANT_PATIENCE_MS = 20_000;
/** Grants that a home remembers having come through, until their shares are kept. */
export const MAX_SEEN_GRANTS = 100;
/** scrypt work factor (log2 N) that we write, and the most that we compute for others (format.md §7). */
export const SCRYPT_LOG_N = 18;
export const MAX_SCRYPT_LOG_N = 20;
/** A passphrase of one's own as UTF-8: a sentence, not a file that was named by mistake. */
export const MAX_PASSPHRASE_BYTES = 1000;
/** Who has what is sealed tries passphrases without end, at a second each; with fewer characters than this some are found. */
export const SHORT_PASSPHRASE_CHARS = 12;
/** Random bytes of a passphrase that is made here, two in each of its words: 80 bits, which nobody tries out. */
export const GENERATED_PASSPHRASE_BYTES = 10;

/** Files of a backup that people may have written, such as a configuration or identities: they have some KiB. */
export const MAX_BACKUP_TEXT_BYTES = MiB;
/** A catalog in a backup, at a KiB a share some ten million of them: more than the eleven octal digits of a tar header hold. */
export const MAX_BACKUP_CATALOG_BYTES = 8 ** 11 - 1;
/** Of what makes one table of a catalog in a backup, as SQL: ours have less than 1500, and longer text only costs time. */
export const MAX_SCHEMA_SQL_CHARS = 16 * KiB;
/** Read at once from a catalog that is backed up. */
export const BACKUP_READ_BYTES = 256 * KiB;

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
/** Providers that one answer of the DHT may name: with more, one server would take the places of what others know. */
export const MAX_TOLD_PROVIDERS = 64;
/** Providers after which one look-up in the DHT ends: more than the twenty servers that it asks may name. */
export const MAX_HEARD_PROVIDERS = 2_048;
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

/** Another clock may differ by this much, and so may ours from one moment to the next, before it is said: expiries are full hours. */
export const CLOCK_DIFFERENCE_MS = 3_600_000;
/** For so long is told that a clock was found to differ, or has jumped: by then it has been set, or the difference was found again. */
export const CLOCK_NOTE_MS = 24 * 3600_000;

// When shares end.

/** The least that may be asked for, in seconds: shares end at full hours (format.md §5). */
export const MIN_EXPIRY_SECONDS = 3600;
/** … and the most: whoever means more means none, or has mistyped. */
export const MAX_EXPIRY_SECONDS = 100 * 366 * 86_400;

// The daemon.

/** Fetches that a daemon carries out at once; more take turns. One that finds nobody costs a look-up now and then. */
export const MAX_TRANSFERS = 16;
/** Shares under peer ids of their own that are served at once: each takes a network, with its ports, connections and memory. */
export const MAX_APART = 16;
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

// A relay's door: who may have how much (relay/).

/** Keys of one relay that are counted at once (peers, address prefixes, tokens); beyond, those that owe nothing are forgotten. */
export const MAX_COUNTED_KEYS = 65_536;
/** Counted keys that are looked at, oldest first, whenever one is added: two for one, so that what is idle never piles up. */
export const KEYS_SWEPT_PER_NEW = 2;
/** … and while there are too many: so many that those who owe nothing are found among the others. */
export const KEYS_SWEPT_PER_NEW_WHEN_FULL = 64;
/** An IPv6 provider gives out so many /48 from one /32 that the /32 may have so many times the limits of one in sum. */
export const WIDE_PREFIX_FACTOR = 8;
/** When something that is lent at once may be free again is not known; who asks is told to try after so long (seconds). */
export const LENT_RETRY_SECONDS = 30;
/** Tokens presented per minute and address prefix: each costs a signature check of a millisecond. */
export const TOKENS_PER_MINUTE_PER_PREFIX = 30;
/** Channels on which a token is being presented at once. */
export const MAX_PRESENTING = 64;
/** Who opened such a channel presents its token, and who presented one gets its answer, within this time. */
export const PRESENT_TIMEOUT_MS = 10_000;
/** How often the tokens of those who are connected are held against the list of those revoked. */
export const TOKEN_CHECK_MS = 3_000;
/** A token as text: seven fields, of which the signature takes a third. */
export const MAX_TOKEN_CHARS = 512;
/** Tokens that a relay lists; those that expired longest ago go first. */
export const MAX_TOKENS = 10_000;
/** The longest that a process waits for another one that writes the list of tokens; each write takes milliseconds. */
export const TOKENS_BUSY_MS = 2_000;
/** Why a relay refused, in characters: one sentence. */
export const MAX_REFUSAL_CHARS = 256;
/** What a relay may lend at once or per time, whatever its configuration says: more does not fit one process. */
export const MAX_RELAY_COUNT = 1_000_000;
/** The answer of a relay's admin listener: figures, a line each. */
export const MAX_STATUS_BYTES = MiB;
/** It answers from memory. */
export const STATUS_TIMEOUT_MS = 10_000;

// What a relay passes on between others (circuit relay v2).

/** One message of its protocols, as others limit it too; ours have some hundred bytes. */
export const MAX_HOP_BYTES = 4 * KiB;
/** Who has opened a stream for a request sends it, and who is told of a circuit answers, within this time: a few round trips on a bad line. */
export const HOP_TIMEOUT_MS = 15_000;
/** Streams of requests, and thereby circuits, that one connection may have begun. */
export const MAX_HOP_STREAMS = 64;
/** Circuits that end at one peer. */
export const MAX_STOP_STREAMS = 256;
/** Addresses of a relay that it tells: with each, an answer stays well below the limit of those who read it. */
export const MAX_TOLD_ADDRESSES = 16;
/** What either end of a circuit may have on its way, for 10 MB/s at 100 ms: a relay holds so much of each when the other end stops reading. */
export const CIRCUIT_WINDOW_BYTES = MiB;
/** What an end that reads slowly may leave unsent before the other one is paused: as much as a stream's first window. */
export const CIRCUIT_UNSENT_BYTES = 256 * KiB;
/** No circuit lasts longer; longer waits are made of such, since a timer of Node holds 24 days at most. */
export const LONGEST_SLEEP_MS = 24 * 3600_000;
/** Dials per minute for others who ask whether they can be reached, all together and of one host, several addresses being tried for each who asks. */
export const MAX_DIAL_BACKS_PER_MINUTE = 120;
export const MAX_DIAL_BACKS_PER_HOST = 12;

// Keeping shares at relays (docs/relay.md).

/** A relay waits so long for the request on a channel, and who asked for its next message. */
export const STORE_HELLO_MS = 15_000;
/** While blocks are on their way the relay says so this often. */
export const STORE_PROGRESS_MS = 2_000;
/** Who asked takes a relay that has said nothing for so long for dead: making a large share durable on a slow disk is silent. */
export const STORE_PATIENCE_MS = 120_000;
/** An upload in which nothing moves for so long ends; its blocks stay for the next attempt. */
export const UPLOAD_STALL_MS = 60_000;
/** … for so long, after which they are removed. */
export const UNFINISHED_UPLOAD_MS = 24 * 3600_000;
/** Grants kept beside one share for who has its lease, of 64 KiB at most each. */
export const MAX_GRANTS_PER_SHARE = 64;
/**
 * Grants beside one share of each other account, and of all those together: who made a grant can't be told from strangers, who
 * need the share's id only. They take none of the places above. These are for an owner who comes from elsewhere or with a
 * token now, and for who passes a share on; the sum bounds what a share draws in from many address prefixes.
 */
export const MAX_GRANTS_PER_STRANGER = 4;
export const MAX_GRANTS_OF_STRANGERS = 16;
/** How often a relay looks which leases have run out, and a home which shares and grants have, beside those that it waits for. */
export const EXPIRY_CHECK_MS = 10_000;
/** Free space that a relay leaves on its disk: records, logs and what others write must go on. */
export const RELAY_SPARE_BYTES = 512 * MiB;
/**
 * What has run out is removed only once the clock has run evenly for so long: one that was wrong for a moment, as at the
 * start of a machine without a battery, must not cost what was promised.
 */
export const STEADY_CLOCK_MS = 3600_000;
/** Random chunks that a relay has to give before it is believed to have all: one that lacks a tenth is found out in 96 of 100 cases. */
export const SAMPLE_CHUNKS = 30;
/** Who is sampled and sends nothing for so long has not got it. */
export const SAMPLE_PATIENCE_MS = 20_000;
/** So long a lease is asked for; a relay gives what it gives. */
export const ASKED_LEASE_SECONDS = 365 * 86_400;
/** How often a home looks which leases are to be renewed: a lease is when less than half of it is left, or this of a short one. */
export const RENEWAL_CHECK_MS = 60_000;
/** Pause before a copy that could not be made is tried again; doubles up to the larger. */
export const MIN_COPY_RETRY_MS = 5_000;
export const MAX_COPY_RETRY_MS = 10 * 60_000;
/** Copies that a home makes at once: more would share one line. */
export const COPIES_AT_ONCE = 2;
/** Who verifies looks for holders so long: what answers the local network, a hint, and the DHT as a rule. */
export const VERIFY_LOOK_MS = 8_000;
/** … and so long where neither network nor DHT nor a relay is asked for them: what is given is known at once. */
export const VERIFY_GIVEN_MS = 250;
/** Holders that are asked: more copies than anybody counts. */
export const MAX_VERIFIED = 64;

// What a home keeps for others.

/** Free space that a home leaves on its disk, and the part of the disk that is enough where that is small: catalog, logs and all else must go on. */
export const HOME_SPARE_BYTES = 512 * MiB;
export const HOME_SPARE_OF_DISK = 1 / 20;
/** Written before it is looked again how much is free: others write to the same disk, less than the spare in that time. */
export const FREE_LOOK_BYTES = 64 * MiB;
/** Of a quota, what is used before the doctor says that it is nearly full. */
export const NEARLY_FULL = 0.9;
/** What is known of two or more copies elsewhere is good for so long when room is needed; that of a last one is never. */
export const LOOK_AGE_MS = 24 * 3600_000;
/** It is looked at again before it is too old, one share after the other. */
export const LOOK_RENEWAL_MS = 12 * 3600_000;
/** How often is looked which shares are due, and how long after the start: a node has met others by then. */
export const LOOK_CHECK_MS = 10 * 60_000;
export const LOOK_START_MS = 60_000;
/** Looks at once where somebody waits for room: each takes some seconds, most of which it waits. */
export const LOOKS_BEFORE_DROP_AT_ONCE = 8;
/** Chunks that a holder has to give for that: fewer than for a relay that was paid by trust, since nothing is lost with one look. */
export const LOOK_CHUNKS = 3;

// What a relay tells of itself, and who asks for it.

/** The information document of a relay, which takes a few KiB; texts may be escaped to several times their size. */
export const MAX_RELAY_INFO_BYTES = 64 * KiB;
/** Characters of its texts: what fits on a line (names, versions, ways of contact), and what takes a few sentences. */
export const MAX_RELAY_LINE_CHARS = 200;
export const MAX_RELAY_TEXT_CHARS = 1000;
/** Addresses that a relay tells of, as many as a few transports and both families take. */
export const MAX_RELAY_ADDRESSES = 16;
/** Characters of one of them: a name of 253, its transport, and a peer id. */
export const MAX_RELAY_ADDRESS_CHARS = 400;
/** Lists of refusals that a relay says it follows. */
export const MAX_RELAY_LISTS = 16;
/** Who asks for the document has it after this time, names looked up and all, or gives up. */
export const RELAY_INFO_TIMEOUT_MS = 10_000;

// A relay's HTTP.

/** Requests of one address prefix: people behind one address reading a page, and a home that asks anew now and then. */
export const REQUESTS_PER_MINUTE_PER_PREFIX = 120;

/** A request has arrived, a handshake is over, and an idle connection is closed after this time: each fits into one packet. */
export const RELAY_HTTP_REQUEST_MS = 5_000;
/** Connections to the public side at a time; more are hung up on. Circuits and uploads need file descriptors, too. */
export const MAX_RELAY_HTTP_CONNECTIONS = 512;
/** Connections of the operator's own tools: a monitor, a collector of metrics, a command. */
export const MAX_RELAY_ADMIN_CONNECTIONS = 32;
/** How long, in seconds, the document may be kept by who has read it: limits and addresses of a relay change seldom. */
export const RELAY_INFO_MAX_AGE_SECONDS = 300;
/** When to ask again, in seconds, a relay that has no address to tell of yet. */
export const RELAY_NOT_READY_SECONDS = 10;
/** Checks of readiness that take longer have failed: before an idle connection is closed, so that who asked is told. */
export const RELAY_CHECKS_MS = 4_000;
/** A relay that is told to stop lets uploads and circuits go on for so long: less than what service managers wait. */
export const DRAIN_MS = 30_000;
export const DRAIN_POLL_MS = 100;
/** When who was told so may ask again. */
export const RELAY_RESTART_SECONDS = 10;

// Connections through relays, as their client.

/** What a relay answers when it is asked for a reservation: a dozen addresses and a signed voucher, and as much again. */
export const MAX_RESERVATION_BYTES = 4 * KiB;
/** Addresses that are believed of one relay: it has some names and networks, and links have place for few. */
export const MAX_RESERVED_ADDRESSES = 8;
/** A relay answers within this time, or its connection is taken to be dead. */
export const RESERVE_TIMEOUT_MS = 10_000;
/** How often is looked whether the machine has slept or changed networks; no reservation is renewed more often. */
export const RESERVATION_CHECK_MS = 5_000;
/** A reservation is renewed at half of its time and this often at least: the relay's clock may be wrong. */
export const MAX_RENEWAL_MS = 30 * 60_000;
/** So much earlier than through a relay a peer is dialled directly: enough for a handshake across the world, and hardly felt. */
export const DIRECT_HEAD_START_MS = 750;
/** Addresses of one relay in a link, where it has no name: there are only so many hints, and other relays. */
export const MAX_RELAY_HINTS = 2;
/** Connections of a relay, whatever its configuration says: each takes a descriptor and some memory. */
export const MOST_RELAY_CONNECTIONS = 50_000;
/** A relay has the system ask a connection that is silent for so long whether it lives: who has lost power keeps a place for minutes. */
export const RELAY_KEEP_ALIVE_MS = 60_000;

// A relay among crowds.

/** Channels on which a relay waits for a request to keep or to withdraw something: a quarter of all that a node has (2 × MAX_CHANNELS). */
export const MAX_WAITING_CHANNELS = 128;

/** Characters of the name of somebody in the address book: it stands in tables and messages. */
export const MAX_CONTACT_NAME_CHARS = 100;
/** Characters of the name of an identity, which with its ending is that of a file. */
export const MAX_IDENTITY_NAME_CHARS = 64;
/** A file of identities, which has 3 KiB where it is of one: more than a few of them, and no other file that was named by mistake. */
export const MAX_IDENTITY_FILE_BYTES = 64 * KiB;
/** A file of recipients, of which a post-quantum one has 2 KB: many more than fit one grant. */
export const MAX_RECIPIENTS_FILE_BYTES = MiB;
/** How often somebody may type a passphrase until the command gives up. */
export const PASSPHRASE_TRIES = 3;

// Withdrawals (docs/protocol.md).

/** Who opened a channel for a notice says it within this time: it is one message. */
export const NOTICE_HELLO_MS = 15_000;
/** Who was told answers within this time: it has made a record durable by then, and removed the blocks of a share. */
export const NOTICE_PATIENCE_MS = 30_000;
/** Channels on which a home waits for notices; with more, the oldest gives way. */
export const MAX_HEARD_AT_ONCE = 32;
/** Notices that a home delivers at once, and peers that it asks at once whether they know what was withdrawn. */
export const NOTICES_AT_ONCE = 4;
/** Pause before a notice that did not arrive is delivered again; doubles up to the larger. */
export const MIN_NOTICE_RETRY_MS = 5_000;
export const MAX_NOTICE_RETRY_MS = 3600_000;
/** A look for others who hold what was withdrawn takes so long, and comes again after a pause that doubles up to the larger. */
export const HOLDERS_LOOK_MS = 15_000;
export const MIN_HOLDERS_PAUSE_MS = 60_000;
export const MAX_HOLDERS_PAUSE_MS = 6 * 3600_000;
/** For so long after a withdrawal others are looked for and told: who has not been online for a month may be told by who asks it. */
export const TELLING_SECONDS = 30 * 86_400;
/** Peers that are asked in one look: anybody may announce any number of them. */
export const MAX_HOLDERS_ASKED = 128;
/** Peers that are remembered for one withdrawal. */
export const MAX_NOTICES = 1_000;
/** Who withdraws waits so long for those who can be reached now. */
export const FIRST_ROUND_MS = 30_000;
