/**
 * What a home can be asked to do, what it tells meanwhile and what comes back in the end, as schemas: they check what
 * arrives at the socket (api.ts), give the types (actions.ts) and the description for others (openapi.ts). Only those at the
 * door load this file; all else takes types.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import { GRANTING_PARAMETERS, GRANTING_RESULTS, grantView, to } from './granting-schemas.ts';
import { DROPPED, ELSEWHERE, STORE } from './carrying-schemas.ts';
import { MAX_NOTE_BYTES, MAX_PATHS } from '../limits.ts';
import { CONTACT_PARAMETERS, CONTACT_RESULTS } from './contacts-schemas.ts';
import { WITHDRAWAL, WITHDRAWAL_EVENTS } from './withdrawing-schemas.ts';

// What a text has to be is looked at by the action, which says it in the same words where no process holds the home. A length
// in `meta` is for the description alone.
const path = z
  .string()
  .refine(isAbsolute, 'the path is not absolute; write all of it, from the root on')
  .meta({ description: 'An absolute path.', minLength: 1 });
const link = z.string().meta({ description: 'A link, as pasted.', minLength: 1 });
const idOrLink = z.string().meta({
  description: 'A share id, a link, or an unambiguous beginning of the id of a share in this home.',
  minLength: 1,
});
const timeoutMs = z.number().int().positive().optional().describe('Give up when nothing has moved for so long.');

const anyId = z.string().meta({ description: 'The id of a transfer, or of a share.', minLength: 1 });

const count = z.number().int().min(0);
const bytes = count.describe('Bytes.');
const seconds = z.number().int().describe('Unix seconds.');
const kind = z.enum(['file', 'folder']);
const relay = z
  .string()
  .meta({ description: 'A relay: its origin, a multiaddr of it, or what this home calls it.', minLength: 1 });
const peer = z.string().describe('A peer id.');
const via = z
  .enum(['local', 'hint', 'mdns', 'dht', 'relay'])
  .describe('How it was found; "local" is this home itself, "relay" a relay that was named.');
const way = z.enum(['direct', 'relay']).describe('Straight, or through a relay.');

/** The parameters of each action. */
export const PARAMETERS = {
  share: z.strictObject({
    paths: z
      .array(path)
      .min(1)
      .meta({ description: 'Of files and folders; several become one folder.', maxItems: MAX_PATHS }),
    exclude: z.array(z.string()).default([]).describe('Globs of what is left out.'),
    spooled: z.boolean().default(false).describe('The path is what this home took in from stdin.'),
    name: z.string().optional(),
    note: z
      .string()
      .optional()
      .meta({ description: 'What readers are told of the share, in UTF-8.', maxLength: MAX_NOTE_BYTES }),
    skip: z.boolean().default(false),
    copy: z.boolean().default(false),
    pad: z.boolean().default(true),
    anew: z.boolean().default(false),
    freshId: z.boolean().optional().describe('Serve it under a peer id of its own.'),
    hints: z
      .array(z.string())
      .optional()
      .describe(
        'For the link: multiaddrs with /p2p/ and a peer id, or hosts of relays; "self" stands for the addresses of this node. If absent, the relays that keep the share.',
      ),
    relays: z
      .array(relay)
      .optional()
      .describe('Relays that are to keep it, too; if absent, those of this home that are used for all shares.'),
    waitCopies: count
      .optional()
      .describe('Answer once so many relays keep it and have shown it; serving goes on only where there is a daemon.'),
    always: z
      .boolean()
      .optional()
      .describe('Serve it whenever there is a daemon, and answer at once; if absent, where there is one now.'),
    downloads: z.number().int().positive().optional().describe('Stop after so many complete deliveries.'),
    expires: seconds.optional().describe('When nobody is to serve it any more, a full hour; never where absent.'),
    to: to.optional().describe('Make a grant for these, and answer with its link, which holds no key.'),
  }),
  ...GRANTING_PARAMETERS,
  serve: z.strictObject({
    id: idOrLink,
    waitCopies: count.optional().describe('Answer once so many relays keep it and have shown it.'),
  }),
  fetch: z.strictObject({
    link,
    output: path.describe('An absolute path: a folder to put the output into, or its final place.'),
    only: z.array(z.string()).default([]).describe('Globs of entries; all when empty.'),
    force: z.boolean().default(false),
    keep: z.boolean().default(false),
    explain: z.boolean().default(false).describe('Tell of the stages of the fetch in the end.'),
    timeoutMs,
  }),
  plan: z.strictObject({
    link,
    output: path.describe('As for a fetch.'),
    only: z.array(z.string()).default([]).describe('Globs of entries; all when empty.'),
    force: z.boolean().default(false),
    keep: z.boolean().default(false),
    timeoutMs,
  }),
  check: z.strictObject({ link, path: path.describe('An absolute path of a file or folder.'), timeoutMs }),
  seed: z.strictObject({
    link: link.describe('A link, with or without a key, or the id of a share.'),
    timeoutMs,
    always: z
      .boolean()
      .optional()
      .describe('Serve it whenever there is a daemon, and answer once it is here; if absent, where there is one now.'),
  }),
  show: z.strictObject({ id: idOrLink, withLink: z.boolean().default(false) }),
  list: z.strictObject({ link, timeoutMs }),
  shares: z.strictObject({}),
  forget: z.strictObject({ id: idOrLink }),
  export: z.strictObject({ id: idOrLink, output: path, force: z.boolean().default(false) }),
  import: z.strictObject({ path }),
  status: z.strictObject({}),
  peers: z.strictObject({}),
  transfer: z
    .strictObject({
      link,
      output: path.describe('An absolute path: a folder to put the output into, or its final place.'),
      only: z.array(z.string()).default([]).describe('Globs of entries; all when empty.'),
      force: z.boolean().default(false),
      keep: z.boolean().default(false),
    })
    .describe(
      'A fetch that the daemon carries out by itself, across restarts; the same one again, unless it is done, is gone on with.',
    ),
  transfers: z.strictObject({}),
  pause: z.strictObject({ id: anyId }),
  resume: z.strictObject({ id: anyId }),
  cancel: z.strictObject({ id: anyId }),
  doctor: z.strictObject({}),
  relays: z.strictObject({}),
  relay: z.strictObject({ relay }).describe('One relay, and what it tells of itself.'),
  addRelay: z.strictObject({
    relay,
    token: z.string().min(1).optional().describe('An invite token of the relay.'),
    always: z.boolean().default(true).describe('Use it for all shares from now on.'),
  }),
  removeRelay: z.strictObject({ relay }),
  verify: z.strictObject({
    id: idOrLink,
    repair: z.boolean().default(false).describe('Have relays get again what they turn out to lack.'),
  }),
  ...CONTACT_PARAMETERS,
  withdraw: z.strictObject({ id: idOrLink }).describe('Of a share or grant that was made in this home, for good.'),
  events: z.strictObject({}),
  daemon: z.strictObject({ pid: z.number().int().positive() }),
  stop: z.strictObject({}),
} as const;

const copy = z
  .strictObject({
    relay: peer,
    name: z.string().describe('What the relay is called.'),
    state: z.enum(['wanted', 'stored']).describe('"stored" by its receipt.'),
    until: seconds.optional().describe('When its lease ends; it is renewed before.'),
    checkedAt: seconds.optional().describe('When it has shown chunks of it to a stranger.'),
    detail: z.string().optional().describe('Why it is not as it should be.'),
  })
  .meta({ id: 'Copy', description: 'The ciphertext of a share at a relay.' });

const share = z
  .strictObject({
    id: z.string(),
    name: z.string().describe('Empty where the home has no key.'),
    kind,
    sizeBytes: bytes,
    files: count,
    source: z
      .enum(['original', 'spooled', 'copy', 'fetched', 'imported'])
      .describe('Where its chunks come from; "spooled" came from stdin and is kept by the home.'),
    path: z.string().optional().describe('Of its files.'),
    paths: z.array(z.string()).readonly().optional().describe('Of its files, where it was put together from several.'),
    state: z
      .enum(['serving', 'idle', 'changed', 'missing', 'delivered', 'expired', 'withdrawn'])
      .describe(
        '"idle" when nobody serves it; "changed" or "missing" files; "delivered" as often as was wanted; "expired", or "withdrawn" by its owner.',
      ),
    detail: z.string().optional().describe('Why it is in that state.'),
    createdAt: seconds,
    peersServed: count,
    bytesUp: bytes,
    always: z.boolean().describe('Served whenever there is a daemon.'),
    downloadsLeft: count.optional().describe('Served until so many more complete deliveries.'),
    expires: seconds.optional().describe('When nobody serves it any more; it never ends where absent.'),
    freshId: z.literal(true).optional().describe('It is served under a peer id of its own.'),
    copies: z.array(copy).readonly().describe('At relays.'),
    ...ELSEWHERE,
  })
  .meta({ id: 'Share', description: 'A share of this home.' });

const fetched = z
  .strictObject({
    name: z.string(),
    kind,
    path: z.string(),
    sizeBytes: bytes,
    files: count,
    alreadyThere: z.boolean().describe('It was there before, complete and right.'),
    found: via.optional().describe('How the source that gave most was found.'),
    sources: z.array(z.strictObject({ peer, via, path: way, bytes })).readonly(),
  })
  .meta({ id: 'Fetched', description: 'A fetch that is complete.' });

const transfer = z
  .strictObject({
    id: z.string(),
    share: z.string().describe('The id of the share.'),
    name: z.string().optional().describe('Once it is known.'),
    output: z.string().describe('Where it is to be put: a folder, or the final place.'),
    path: z.string().optional().describe('Where it is, once it is there.'),
    state: z
      .enum(['queued', 'running', 'paused', 'failed', 'done'])
      .describe('"queued": others come first, or there is no daemon.'),
    detail: z.string().optional().describe('What it waits for, or why it failed.'),
    attached: z.boolean().describe('A command waits for it; it ends with that.'),
    doneBytes: bytes,
    totalBytes: bytes.optional().describe('Once it is known.'),
    bytesPerSecond: bytes,
    peers: count,
    createdAt: seconds,
  })
  .meta({ id: 'Transfer', description: 'A fetch that the process that holds the home carries out.' });

const reservation = z.strictObject({
  peer: z.string().describe("The relay's peer id."),
  state: z.enum(['reserved', 'trying']),
  until: seconds.optional().describe("By the relay's clock, in Unix seconds; it is renewed before."),
  why: z.string().optional().describe('Why there is none.'),
  limits: z
    .strictObject({ bytes: bytes.optional(), seconds: count.optional() })
    .optional()
    .describe('Of each connection through the relay: bytes, and how many seconds it may last.'),
});

const relayView = z
  .strictObject({
    peer,
    addresses: z.array(z.string()).readonly(),
    origin: z.string().optional(),
    name: z.string().optional(),
    always: z.boolean().describe('Used for all shares.'),
    token: z.boolean().describe('Whether this home has an invite token for it.'),
    addedAt: seconds,
    copies: count.describe('Shares of this home that it keeps.'),
    reservation: reservation
      .optional()
      .describe('The place there by which others reach this node, where one is asked for.'),
  })
  .meta({ id: 'Relay', description: 'A relay of this home.' });

const tierLimits = z.strictObject({
  reservationSeconds: count,
  circuitBytes: bytes,
  circuitSeconds: count,
  leases: count,
  storedBytes: bytes,
  leaseSeconds: count,
});

const relayInfo = z.strictObject({
  name: z.string(),
  operator: z.string().optional(),
  contact: z.string().optional(),
  terms: z.string().optional(),
  version: z.string(),
  roles: z.strictObject({ dht: z.boolean(), circuit: z.boolean(), autonat: z.boolean(), store: z.boolean() }),
  limits: z.strictObject({
    anonymous: tierLimits.optional(),
    token: tierLimits.optional(),
    operator: tierLimits.optional(),
  }),
  retention: z.string(),
  lists: z.array(z.string()).readonly(),
});

const holder = z.strictObject({
  peer,
  via,
  name: z.string().optional().describe('Of a relay of this home.'),
  chunks: count.optional().describe('Of the data.'),
  has: count.optional().describe('Chunks of the data that it says it has.'),
  sampled: count.optional().describe('Chunks that were fetched from it and right.'),
  problem: z.string().optional().describe('Why it does not count as a copy.'),
});

const code = z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]);

const planned = z
  .strictObject({
    name: z.string(),
    kind,
    note: z.string().optional(),
    path: z.string().describe('Where it would be put, or is.'),
    sizeBytes: bytes,
    files: count,
    standing: z
      .enum(['nothing', 'complete', 'some', 'other', 'part'])
      .describe('What is there: the same, some of it, something else, or a part that an earlier run has left.'),
    partBytes: bytes.describe('What the earlier run says it has.'),
    neededBytes: bytes.describe('Still to be written.'),
    roomBytes: bytes.optional().describe('What can be written there; absent where that was not looked at.'),
    peers: count.describe('Who could give of it at the moment, this home included.'),
    failure: z.strictObject({ code, message: z.string() }).optional().describe('What a fetch would fail with.'),
  })
  .meta({ id: 'Plan', description: 'What a fetch would do now.' });

const difference = z.strictObject({
  path: z.string(),
  what: z.enum(['missing', 'extra', 'kind', 'size', 'executable', 'content', 'unsure']),
  why: z.string(),
});

const stage = z.strictObject({
  stage: z.string(),
  state: z
    .enum(['done', 'failed', 'off', 'open', 'none'])
    .describe('"open": begun, and not over when the fetch ended; "none": never begun.'),
  beganMs: z.number().optional().describe('Since the fetch began.'),
  endedMs: z.number().optional(),
  outcome: z.string(),
});

const entry = z.strictObject({
  path: z.string(),
  size: bytes,
  executable: z.literal(true).optional(),
  modified: seconds.optional(),
  directory: z.literal(true).optional().describe('An empty folder.'),
});

const network = z.strictObject({
  listen: z.array(z.string()).readonly(),
  bootstrap: z.array(z.string()).readonly(),
  mdns: z.boolean(),
  dht: z.enum(['off', 'client', 'server', 'auto']),
  port: count.optional(),
  maxUp: bytes.optional().describe('Bytes per second; no limit where absent.'),
  maxDown: bytes.optional().describe('Bytes per second; no limit where absent.'),
  maxConnections: count.optional(),
  portMapping: z.boolean(),
});

/** What comes back in the end. */
export const RESULTS = {
  share,
  ...GRANTING_RESULTS,
  serve: share,
  fetch: fetched,
  plan: planned,
  check: z.strictObject({
    id: z.string(),
    name: z.string(),
    kind,
    path: z.string(),
    sizeBytes: bytes,
    files: count,
    differences: z.array(difference).readonly().describe('None when the path is exactly what the link names.'),
  }),
  seed: share,
  show: share.extend({
    hints: z.array(z.string()).readonly().describe('Of its link.'),
    hasKey: z.boolean(),
    chunks: count.optional().describe('Of its data; absent where blocks that the home keeps of it are damaged.'),
    chunksKept: count.optional().describe('As ciphertext; the others are made from the files.'),
    diskBytes: bytes.optional().describe('Of all its blocks in this home.'),
    padded: z.boolean().optional().describe('Whether the exact size is hidden.'),
    note: z.string().optional(),
    withdrawal: WITHDRAWAL.optional().describe('Where it was withdrawn.'),
    link: z.string().optional().describe('With its key; only where that was asked for.'),
    grants: z.array(grantView).readonly(),
  }),
  list: z.strictObject({ name: z.string(), kind, note: z.string().optional(), entries: z.array(entry).readonly() }),
  shares: z.strictObject({
    shares: z.array(share).readonly(),
    clock: z.string().optional().describe('What is wrong with a clock, where some of them end.'),
  }),
  forget: share,
  export: z.strictObject({ id: z.string(), path: z.string(), bytes, blocks: count }),
  import: z.strictObject({ id: z.string(), blocks: count, bytes, complete: z.boolean() }),
  status: z.strictObject({
    version: z.string(),
    api: count,
    pid: count,
    peer,
    addresses: z.array(z.string()).readonly(),
    network: network.describe('How its node meets others.'),
    holds: z
      .boolean()
      .describe('Whether a process holds this home; if none does, the rest is of the one that answers.'),
    daemon: z.strictObject({ pid: count }).optional().describe('The daemon, where one runs.'),
    since: seconds.describe('When it began.'),
    connections: count,
    maxConnections: count.optional(),
    maxUp: bytes.optional().describe('The limit in force, in bytes per second.'),
    maxDown: bytes.optional().describe('The limit in force, in bytes per second.'),
    portMapping: z
      .enum(['off', 'none', 'mapped'])
      .optional()
      .describe('Whether a router lets others in, by an address that is among the addresses then.'),
    reservations: z
      .array(reservation)
      .readonly()
      .optional()
      .describe('At the relays by which others are to reach it; their addresses are among the addresses then.'),
    lanPeers: count.optional().describe('Absent where it does not look there.'),
    dhtPeers: count.optional().describe('Absent where it takes no part in the DHT.'),
    apart: z
      .array(z.strictObject({ id: z.string(), peer, addresses: z.array(z.string()).readonly() }))
      .readonly()
      .optional()
      .describe('The shares that are served under peer ids of their own, with these.'),
    shares: z.strictObject({ total: count, serving: count }),
    transfers: z.strictObject({ total: count, running: count }),
    ...STORE,
  }),
  peers: z.strictObject({
    peers: z
      .array(
        z.strictObject({
          peer,
          address: z.string(),
          path: way,
          direction: z.enum(['in', 'out']),
          since: seconds,
          shares: count.describe('Of this home that it is getting.'),
          bytesUp: bytes.describe('Sent to it since it began.'),
        }),
      )
      .readonly(),
  }),
  transfer,
  transfers: z.strictObject({ transfers: z.array(transfer).readonly() }),
  pause: z.union([transfer, share]),
  resume: z.union([transfer, share]),
  cancel: transfer,
  doctor: z.strictObject({
    checks: z
      .array(
        z.strictObject({
          name: z.string().describe('What was looked at.'),
          state: z.enum(['ok', 'notice', 'problem']).describe('"notice": it may be as it is meant to be.'),
          message: z.string(),
          remedy: z.string().optional().describe('What to do about it, in a sentence.'),
        }),
      )
      .readonly(),
  }),
  relays: z.strictObject({ relays: z.array(relayView).readonly() }),
  relay: relayView.extend({
    info: relayInfo.optional().describe('What it tells of itself; only where its origin is known.'),
  }),
  addRelay: relayView.extend({ info: relayInfo.optional() }),
  removeRelay: relayView,
  verify: z.strictObject({
    id: z.string(),
    holders: z.array(holder).readonly(),
    copies: count.describe('Holders that have all of it and have shown that.'),
    repaired: count.describe('Relays that have got it again.'),
  }),
  ...CONTACT_RESULTS,
  withdraw: WITHDRAWAL.extend({ again: z.boolean().describe('It was withdrawn before; nothing was signed anew.') }),
  events: z.strictObject({}),
  daemon: z.strictObject({}),
  stop: z.strictObject({
    pid: count.optional().describe('Of the daemon that has been told to stop; absent where none ran.'),
  }),
} as const;

/** What an action tells while it goes on. */
export const EVENT = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('skipped'), path: z.string(), why: z.string() }),
  z.strictObject({ event: z.literal('unmatched'), glob: z.string() }),
  z.strictObject({ event: z.literal('reading'), doneBytes: bytes }),
  z.strictObject({ event: z.literal('damaged'), id: z.string(), why: z.string() }),
  z.strictObject({ event: z.literal('sealing'), doneBytes: bytes, totalBytes: bytes }),
  z
    .strictObject({
      event: z.literal('shared'),
      share,
      link: z.string(),
      grant: grantView.optional().describe('What the link is of, where one was made.'),
      again: z.boolean(),
      addresses: z.array(z.string()).readonly(),
    })
    .describe('The share is complete and served from now on. `link` holds its key, unless it is of a grant.'),
  z
    .strictObject({
      event: z.literal('served'),
      id: z.string(),
      peer,
      what: z.enum(['joined', 'sent', 'complete', 'left']),
      bytes,
    })
    .describe('A peer of a share that is served: it joined, was sent bytes, has it complete, left.'),
  z
    .strictObject({
      event: z.literal('copy'),
      id: z.string(),
      relay: peer,
      name: z.string(),
      state: z.enum(['uploading', 'checking', 'stored', 'failed']),
      doneBytes: bytes.optional(),
      until: seconds.optional(),
      sampled: count.optional().describe('Chunks that were fetched from it over a new connection, and right.'),
      why: z.string().optional(),
      forGood: z.boolean().optional().describe('Whether the relay has refused it, and will not take it as it is.'),
    })
    .describe('How a copy at a relay comes along; what failed is tried again.'),
  holder.extend({ event: z.literal('holder') }).describe('Somebody who was asked what it has of a share.'),
  z.strictObject({ event: z.literal('changed'), id: z.string(), why: z.string() }),
  z.strictObject({ event: z.literal('found'), peer, via, path: way, address: z.string() }),
  z.strictObject({ event: z.literal('lost'), peer, why: z.string() }),
  z.strictObject({ event: z.literal('waiting'), why: z.string() }),
  z.strictObject({
    event: z.literal('opened'),
    kind,
    name: z.string(),
    sizeBytes: bytes,
    files: count,
    note: z.string().optional(),
  }),
  z
    .strictObject({ event: z.literal('preparing'), step: z.enum(['compare', 'make', 'verify', 'ready']) })
    .describe(
      'What stands at the place is compared, files are made, what an earlier run has left is verified; or that is over.',
    ),
  z.strictObject({ event: z.literal('resumed'), bytes }),
  z.strictObject({ event: z.literal('renamed'), path: z.string(), as: z.string() }),
  z.strictObject({ event: z.literal('put-back'), as: z.string() }),
  z.strictObject({ event: z.literal('progress'), doneBytes: bytes, totalBytes: bytes, peers: count }),
  z.strictObject({ event: z.literal('finishing') }),
  DROPPED,
  z
    .strictObject({ event: z.literal('keeping'), fetched, share })
    .describe('After a fetch with `keep`: the output is served from now on.'),
  z
    .strictObject({
      event: z.literal('seeding'),
      share,
      sources: z.array(z.strictObject({ peer, via, path: way, bytes })).readonly(),
    })
    .describe('All of a share that is carried is here, and is served from now on.'),
  z
    .strictObject({
      event: z.literal('explained'),
      stages: z.array(stage).readonly(),
      failed: z.string().optional().describe('The stage at which it failed; "search" where nobody was found.'),
      next: z.string().optional().describe('What can be done.'),
    })
    .describe('How a fetch went; where it failed, the error follows.'),
  z.strictObject({ event: z.literal('blocks'), blocks: count, bytes }),
  z
    .strictObject({ event: z.literal('ready'), addresses: z.array(z.string()).readonly(), shares: count })
    .describe('The daemon serves this many shares.'),
  z.strictObject({ event: z.literal('transfer'), transfer }).describe('A transfer has moved, or changed its state.'),
  z
    .strictObject({ event: z.literal('ended'), id: z.string(), why: z.enum(['expired']).optional() })
    .describe('A share is not served any more: forgotten, withdrawn, expired, or delivered as often as was wanted.'),
  z
    .strictObject({ event: z.literal('clock'), why: z.string() })
    .describe('A clock is wrong, and the share ends by it.'),
  ...WITHDRAWAL_EVENTS,
]);
