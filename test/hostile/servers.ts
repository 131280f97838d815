/** Servers of shares, honest and otherwise, on the independent implementation in peer.ts. */
import { encode } from '@ipld/dag-cbor';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { indicesOf, isHello, Peer, rawFrame, type Fields, type Share, type StreamName, type Wire } from './peer.ts';

/** What a server has been asked. */
export interface Log {
  hellos: number;
  /** Blocks that were asked for, in order. */
  readonly asked: string[];
  /** How many of them were asked for when the first wrong byte was sent. */
  askedBeforeLie?: number;
}

/** A conversation as a server sees it, with the asker's hello still to come. */
export interface Talk {
  readonly wire: Wire;
  readonly share: Share;
  readonly peer: Peer;
  readonly log: Log;
  /** Says that the server has had its turn, before the conversation has ended. */
  readonly hadTurn: () => void;
}

export type Behaviour = (talk: Talk) => Promise<void>;

/** A server that runs in this process. */
export interface Server {
  readonly hint: string;
  /** Peer id as text. */
  readonly id: string;
  readonly log: Log;
  /** Resolves when it has had its turn: its first conversation has ended, or what it is there for has been done. */
  readonly done: Promise<undefined>;
  stop(): Promise<void>;
}

/** Serves `share` by `behaviour`. Its conversations begin only after `first`. */
export async function serve(
  share: Share,
  behaviour: Behaviour,
  first: Promise<unknown> = Promise.resolve(),
): Promise<Server> {
  return await serveOn(await Peer.start(), share, behaviour, first);
}

/** The same by a peer that is there already. */
export async function serveOn(
  peer: Peer,
  share: Share,
  behaviour: Behaviour,
  first: Promise<unknown> = Promise.resolve(),
): Promise<Server> {
  const log: Log = { hellos: 0, asked: [] };
  const done = Promise.withResolvers<undefined>();
  await peer.serve(async wire => {
    log.hellos++;
    await first;
    const hadTurn = (): void => done.resolve(undefined);
    await behaviour({ wire, share, peer, log, hadTurn });
    hadTurn();
  });
  return { hint: peer.hint, id: peer.node.peerId.toString(), log, done: done.promise, stop: () => peer.stop() };
}

/** A block that was asked for. */
export interface Wanted {
  readonly kind: 'chunk' | 'index';
  readonly stream: StreamName;
  readonly index: number;
}

/** Does everything as it should. */
export const honest: Behaviour = async talk => {
  await greet(talk, { credit: 4 * 2 ** 20 });
  await answer(talk, (wanted, chunk) => talk.wire.say({ type: 'block', ...wanted }, chunk));
};

/** Takes the hello, which must be right, and says it has everything. The credit is for one chunk, so that many are asked at once. */
export async function greet({ wire, share, peer }: Talk, changes: Fields = {}, root = share.root): Promise<void> {
  const hello = await wire.next();
  if (hello === undefined || !isHello(hello, share.id, wire, peer.node.peerId)) throw new Error('this is not a hello');
  await wire.say({ type: 'hello', have: 'all', credit: 2 ** 20, ...changes }, root);
}

/** Goes through what is asked, until the asker has enough. */
export async function answer(
  { wire, share, log }: Talk,
  give: (wanted: Wanted, chunk: Uint8Array) => unknown,
): Promise<void> {
  for (let message = await wire.next(); message !== undefined; message = await wire.next()) {
    const { type, ranges } = message.header;
    const { kind, stream } = message.header as Pick<Wanted, 'kind' | 'stream'> & Fields;
    if (type === 'bye') break;
    if (type !== 'get') continue;
    for (const index of indicesOf(ranges)) {
      log.asked.push(`${stream} ${index}`);
      await give({ kind, stream, index }, share.chunks[stream][index] ?? new Uint8Array());
    }
  }
  await wire.close();
}

/** Is honest about the manifest; of the data it sends what `change` makes of it. */
function lying(change: (chunk: Uint8Array, wanted: Wanted, talk: Talk) => Uint8Array): Behaviour {
  return async talk => {
    await greet(talk, { credit: 4 * 2 ** 20 });
    await answer(talk, (wanted, chunk) => {
      if (wanted.stream === 'manifest') return talk.wire.say({ type: 'block', ...wanted }, chunk);
      talk.log.askedBeforeLie ??= talk.log.asked.length;
      return talk.wire.say({ type: 'block', ...wanted }, change(chunk, wanted, talk));
    });
  };
}

/** Each sends wrong bytes, which must end it. */
export const LIARS: Readonly<Record<string, Behaviour>> = {
  'wrong bytes of the right length': lying(chunk => randomBytes(chunk.length)),
  'the bytes of another index': lying((_chunk, { index }, { share }) => share.chunks.data[index === 0 ? 1 : 0]!),
  'a chunk cut short': lying(chunk => chunk.subarray(0, -1)),
  'a chunk with something behind it': lying(chunk =>
    chunk.length < 2 ** 20 ? Buffer.concat([chunk, Buffer.alloc(1)]) : chunk.subarray(1),
  ),
  'a bit of the tag flipped': lying(chunk => {
    const flipped = Uint8Array.from(chunk);
    flipped[flipped.length - 1]! ^= 1;
    return flipped;
  }),
  'nothing at all as a chunk': lying(() => new Uint8Array()),
};

/** Is honest until the first chunk of the data is asked for, and then does `then`. */
function afterHello(then: (talk: Talk) => Promise<unknown>): Behaviour {
  return async talk => {
    await greet(talk);
    let isFirst = true;
    await answer(talk, async (wanted, chunk) => {
      if (wanted.stream === 'manifest') return await talk.wire.say({ type: 'block', ...wanted }, chunk);
      if (isFirst) await then(talk);
      return (isFirst = false);
    });
    await talk.wire.over;
  };
}

/** The same for what is no reason to cut it off. */
function allowedAfterHello(then: (talk: Talk) => Promise<unknown>): Behaviour {
  return afterHello(async talk => {
    await then(talk);
    talk.hadTurn();
  });
}

/** Says `first` where a hello should be. */
function insteadOfHello(first: (talk: Talk) => Promise<unknown>): Behaviour {
  return async talk => {
    await talk.wire.next();
    await first(talk);
    await talk.wire.over;
  };
}

/** Says the same again and again until it is cut off, at most so many times. */
async function flood({ wire }: Talk, bytes: () => Uint8Array, times: number): Promise<void> {
  for (let n = 0; n < times; n++) if (!(await wire.send(bytes()))) return;
}

/** Each breaks the rules of the protocol, or the patience of who listens. */
export const BREAKERS: Readonly<Record<string, Behaviour>> = {
  'random bytes for a hello': insteadOfHello(({ wire }) => wire.send(randomBytes(5000))),
  'a random header for a hello': insteadOfHello(({ wire }) => wire.send(rawFrame(randomBytes(60)))),
  'random bytes after the hello': afterHello(({ wire }) => wire.send(randomBytes(5000))),
  'a random header after the hello': afterHello(({ wire }) => wire.send(rawFrame(randomBytes(60)))),
  'random bytes for the second block': async talk => {
    await greet(talk);
    let sent = 0;
    await answer(talk, (wanted, chunk) =>
      sent++ === 1 ? talk.wire.send(randomBytes(5000)) : talk.wire.say({ type: 'block', ...wanted }, chunk),
    );
  },
  'a header of 2^32 - 1 bytes': afterHello(({ wire }) =>
    wire.send(rawFrame(randomBytes(8), randomBytes(8), [2 ** 32 - 1, 0])),
  ),
  'a body of 2^32 - 1 bytes': afterHello(({ wire }) =>
    wire.send(rawFrame(randomBytes(8), randomBytes(8), [8, 2 ** 32 - 1])),
  ),
  'a first message of 2^32 - 1 bytes': insteadOfHello(({ wire }) =>
    wire.send(rawFrame(randomBytes(8), randomBytes(8), [2 ** 32 - 1, 2 ** 32 - 1])),
  ),
  'a type that is a number': afterHello(({ wire }) => wire.say({ type: 7 })),
  'a header that is an array': afterHello(({ wire }) => wire.send(rawFrame(encode(['block'])))),
  'an index that is a text': afterHello(({ wire }) =>
    wire.say({ type: 'block', kind: 'chunk', stream: 'data', index: '0' }),
  ),
  'a negative index': afterHello(({ wire }) => wire.say({ type: 'block', kind: 'chunk', stream: 'data', index: -1 })),
  'an index of 2^53 - 1': afterHello(({ wire }) =>
    wire.say({ type: 'block', kind: 'chunk', stream: 'data', index: 2 ** 53 - 1 }, randomBytes(16)),
  ),
  'an entry that is not in the protocol': afterHello(({ wire }) =>
    wire.say({ type: 'have', stream: 'data', ranges: [], more: 1 }),
  ),
  'a type that is not in the protocol': afterHello(({ wire }) => wire.say({ type: 'gift' })),
  'a header that is not canonical': afterHello(({ wire }) =>
    wire.send(rawFrame(Buffer.from('bf6474797065656c61636b73ff', 'hex'))),
  ),
  'a header nested a thousand deep': afterHello(({ wire }) => wire.send(rawFrame(Buffer.alloc(1000, 0x81)))),
  'an array of 2^32 claimed': afterHello(({ wire }) =>
    wire.send(rawFrame(Buffer.from('a16474797065 9a ffffffff'.replaceAll(' ', ''), 'hex'))),
  ),
  'a block that was not asked for': afterHello(({ wire, share }) => {
    const index = share.chunks.data.length - 1;
    return wire.say({ type: 'block', kind: 'chunk', stream: 'data', index }, share.chunks.data[index]);
  }),
  'a block of the stream that is not at hand': afterHello(({ wire, share }) =>
    wire.say({ type: 'block', kind: 'index', stream: 'data', index: 0 }, share.chunks.data[0]),
  ),
  'the same block twice': async talk => {
    await greet(talk);
    await answer(talk, async (wanted, chunk) => {
      await talk.wire.say({ type: 'block', ...wanted }, chunk);
      await talk.wire.say({ type: 'block', ...wanted }, chunk);
    });
  },
  'a second hello': afterHello(({ wire, share }) =>
    wire.say({ type: 'hello', have: 'all', credit: 4 * 2 ** 20 }, share.root),
  ),
  'endless have': allowedAfterHello(talk => {
    const have = rawFrame(encode({ type: 'have', stream: 'data', ranges: [0, 1, 2, 1, 4, 1] }));
    return flood(talk, () => have, 10_000);
  }),
  'endless lacks': allowedAfterHello(talk => {
    const lacks = rawFrame(encode({ type: 'lacks', kind: 'chunk', stream: 'data', ranges: [0, 1, 2, 1, 4, 1] }));
    return flood(talk, () => lacks, 10_000);
  }),
  'a flood of tiny messages': insteadOfHello(async talk => {
    const tiny = Buffer.concat(Array.from({ length: 1000 }, () => rawFrame(encode({}))));
    await flood(talk, () => tiny, 100);
  }),
  'a flood of tiny messages after the hello': allowedAfterHello(async talk => {
    const tiny = Buffer.concat(
      Array.from({ length: 1000 }, () => rawFrame(encode({ type: 'have', stream: 'data', ranges: [] }))),
    );
    await flood(talk, () => tiny, 100);
  }),
  'a flood of blocks that nobody asked for': insteadOfHello(async talk => {
    const block = rawFrame(encode({ type: 'block', kind: 'chunk', stream: 'data', index: 0 }), Buffer.alloc(2 ** 20));
    await flood(talk, () => block, 100);
  }),
  'have of 2^53': afterHello(({ wire }) => wire.say({ type: 'have', stream: 'data', ranges: [0, 2 ** 53 - 1] })),
  'lacks of 2^53': afterHello(({ wire }) =>
    wire.say({ type: 'lacks', kind: 'chunk', stream: 'data', ranges: [0, 2 ** 53 - 1] }),
  ),
  'ranges without an end': afterHello(({ wire }) => wire.say({ type: 'have', stream: 'data', ranges: [0, 1, 2] })),
  'a hello with ranges of 2^53': async talk => {
    await greet(talk, { have: { manifest: [0, 2 ** 53 - 1], data: [] } });
    await talk.wire.over;
  },
  'everything at first, then lacks everything': async talk => {
    await greet(talk);
    await answer(talk, async ({ kind, stream, index }) => {
      await talk.wire.say({ type: 'lacks', kind, stream, ranges: [index, 1] });
      talk.hadTurn();
    });
  },
  'has nothing': async talk => {
    await greet(talk, { have: { manifest: [], data: [] } });
    talk.hadTurn();
    await talk.wire.over;
  },
  'no credit': async talk => {
    await greet(talk, { credit: 0 });
    await talk.wire.over;
  },
  'credit without end': async talk => {
    await greet(talk, { credit: 2 ** 53 - 1 });
    await answer(talk, (wanted, chunk) =>
      wanted.stream === 'manifest' ? talk.wire.say({ type: 'block', ...wanted }, chunk) : talk.hadTurn(),
    );
  },
  "another share's block": async talk => {
    await greet(talk, {}, encode({ type: 'share', version: 1 }));
    await talk.wire.over;
  },
  'a share block of 1 MiB of zeros': async talk => {
    await greet(talk, {}, Buffer.alloc(2 ** 20));
    await talk.wire.over;
  },
  'no share block': async talk => {
    await greet(talk, {}, new Uint8Array());
    await talk.wire.over;
  },
  'a close in the middle of a block': afterHello(async ({ wire }) => {
    await wire.send(
      rawFrame(encode({ type: 'block', kind: 'chunk', stream: 'data', index: 0 }), randomBytes(100), [4, 2 ** 20]),
    );
    await wire.close();
  }),
  'an abort in the middle of a block': afterHello(async ({ wire }) => {
    await wire.send(rawFrame(randomBytes(4), randomBytes(100), [4, 2 ** 20]));
    wire.stream.abort(new Error('gone'));
  }),
  'a refusal for an unknown reason': insteadOfHello(({ wire }) => wire.say({ type: 'refuse', reason: 'mood' })),
  'a refusal with too much detail': insteadOfHello(({ wire }) =>
    wire.say({ type: 'refuse', reason: 'blocked', detail: 'x'.repeat(5000) }),
  ),
};

/** Refuses as hello's answer. */
export function refusing(refusal: Fields): Behaviour {
  return async ({ wire }) => {
    await wire.next();
    await wire.say({ type: 'refuse', ...refusal });
    await wire.close();
  };
}

/** Serves some blocks, then refuses. */
export function refusingAfter(blocks: number, refusal: Fields): Behaviour {
  return async talk => {
    await greet(talk);
    let left = blocks;
    await answer(talk, async (wanted, chunk) => {
      if (left-- > 0) await talk.wire.say({ type: 'block', ...wanted }, chunk);
      else await talk.wire.say({ type: 'refuse', ...refusal });
    });
  };
}

/** Answers the hello and never sends a block of the data. */
export const silent: Behaviour = async talk => {
  await greet(talk);
  await answer(talk, async (wanted, chunk) => {
    if (wanted.stream === 'manifest') await talk.wire.say({ type: 'block', ...wanted }, chunk);
  });
};

/** Begins a block of the data and sends a byte of it each second. */
export const dripping: Behaviour = async talk => {
  await greet(talk);
  await answer(talk, async (wanted, chunk) => {
    const whole = rawFrame(encode({ type: 'block', ...wanted }), chunk);
    if (wanted.stream === 'manifest') {
      await talk.wire.send(whole);
      return;
    }
    for (const byte of whole) {
      if (!(await talk.wire.send(Uint8Array.of(byte)))) return;
      await Promise.race([sleep(1000), talk.wire.over]);
      if (talk.wire.isOver) return;
    }
  });
};
