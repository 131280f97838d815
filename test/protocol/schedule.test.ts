/** Which block is asked from whom: rules one by one, and whole downloads in virtual time from random peers. */
import { randomInt } from 'node:crypto';
import { expect } from 'chai';
import { CREDIT_BYTES, MAX_STALL_MS, MIN_STALL_MS } from '../../src/limits.ts';
import { Schedule } from '../../src/protocol/schedule.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const CREDIT = 6 * MIB;

interface PeerModel {
  readonly name: string;
  readonly has: 'all' | readonly number[];
  readonly latencyMs: number;
  readonly bytesPerMs: number;
  readonly credit?: number;
  /** From this block on that it gives, nothing comes any more. */
  readonly stallsAfter?: number;
  /** It is gone at this time. */
  readonly vanishesAtMs?: number;
  readonly joinsAtMs?: number;
  /** Its bytes are wrong. */
  readonly lies?: boolean;
  /** It says that it lacks blocks that it promised. */
  readonly lacks?: (index: number) => boolean;
}

interface Run {
  readonly endMs: number;
  readonly settledBy: ReadonlyMap<number, string>;
  /** In the order of asking. */
  readonly asked: readonly { readonly peer: string; readonly index: number; readonly atMs: number }[];
  readonly cancelled: readonly { readonly peer: string; readonly index: number }[];
}

interface Download {
  readonly count: number;
  readonly wanted?: readonly number[];
  readonly window?: number;
  readonly lengthOf?: (index: number) => number;
  readonly peers: readonly PeerModel[];
  readonly limitMs?: number;
}

/** Plays a download as download.ts conducts it, and holds every call against the rules. */
function play({ count, wanted, window, lengthOf = () => MIB, peers, limitMs = 3600_000 }: Download): Run {
  const all = wanted ?? Array.from({ length: count }, (_, index) => index);
  const schedule = new Schedule({ count, wanted: all, lengthOf, ...(window === undefined ? {} : { window }) });
  const settledBy = new Map<number, string>();
  const asked: Run['asked'][number][] = [];
  const cancelled: Run['cancelled'][number][] = [];
  const events: { atMs: number; order: number; act: () => void }[] = [];
  let nowMs = 0;
  let order = 0;
  const at = (atMs: number, act: () => void): void => void events.push({ atMs, order: order++, act });

  interface State {
    readonly model: PeerModel;
    busyUntilMs: number;
    given: number;
    /** Asked, and neither received nor cancelled. */
    readonly owes: Set<number>;
    /** Not begun to be sent. */
    readonly queue: Set<number>;
  }
  const here = new Map<string, State>();

  const askAll = (): void => {
    for (const state of here.values()) ask(state);
  };
  const ask = (state: State): void => {
    const { model, owes, queue } = state;
    for (const index of schedule.ask(model.name, nowMs)) {
      expect(model.has === 'all' || model.has.includes(index), `${model.name} has ${index}`).to.equal(true);
      expect(settledBy.has(index), `${index} is settled`).to.equal(false);
      expect(all.includes(index), `${index} is wanted`).to.equal(true);
      expect(owes.has(index), `${index} is asked from the same peer twice`).to.equal(false);
      if (window !== undefined) {
        const lowest = all.find(other => !settledBy.has(other)) ?? 0;
        expect(index, 'window').to.be.below(lowest + window);
      }
      owes.add(index);
      queue.add(index);
      asked.push({ peer: model.name, index, atMs: nowMs });
      const owed = [...owes].reduce((sum, other) => sum + lengthOf(other), 0);
      expect(owed, `credit of ${model.name}`).to.be.at.most(model.credit ?? CREDIT);
      at(nowMs + model.latencyMs, () => give(state, index));
    }
  };
  const give = (state: State, index: number): void => {
    const { model } = state;
    if (here.get(model.name) !== state || !state.queue.has(index)) return;
    if (state.given >= (model.stallsAfter ?? Infinity)) return;
    state.given++;
    if (model.lacks?.(index) === true) {
      at(nowMs + model.latencyMs, () => {
        if (here.get(model.name) !== state || !state.owes.delete(index)) return;
        schedule.lacked(model.name, index);
        askAll();
      });
      return;
    }
    state.busyUntilMs = Math.max(state.busyUntilMs, nowMs) + lengthOf(index) / model.bytesPerMs;
    at(state.busyUntilMs + model.latencyMs, () => arrive(state, index));
  };
  const arrive = (state: State, index: number): void => {
    const { name, lies } = state.model;
    if (here.get(name) !== state) return;
    const wasOwed = state.owes.delete(index);
    state.queue.delete(index);
    const arrival = schedule.arrived(name, index, nowMs);
    expect(arrival !== 'unasked', `${index} from ${name} is known to be asked`).to.equal(true);
    if (!wasOwed) expect(arrival).to.equal('late');
    if (arrival === 'wanted') {
      if (lies === true) {
        schedule.rejected(index);
        leave(state);
      } else {
        expect(settledBy.has(index), `${index} is settled once`).to.equal(false);
        settledBy.set(index, name);
        for (const other of schedule.settled(index, nowMs)) {
          cancelled.push({ peer: other, index });
          const loser = here.get(other);
          expect(loser?.owes.delete(index), `${other} was asked for ${index}`).to.equal(true);
          at(nowMs + (loser?.model.latencyMs ?? 0), () => loser?.queue.delete(index));
        }
      }
    }
    askAll();
  };
  const leave = ({ model }: State): void => {
    here.delete(model.name);
    schedule.removePeer(model.name);
    askAll();
  };

  for (const model of peers) {
    at(model.joinsAtMs ?? 0, () => {
      const state = { model, busyUntilMs: 0, given: 0, owes: new Set<number>(), queue: new Set<number>() };
      here.set(model.name, state);
      schedule.addPeer(model.name, model.has, model.credit ?? CREDIT, nowMs);
      ask(state);
      if (model.vanishesAtMs !== undefined)
        at(model.vanishesAtMs, () => here.get(model.name) === state && leave(state));
    });
  }
  const tick = (): void => {
    for (const { model, busyUntilMs } of here.values()) if (busyUntilMs > nowMs) schedule.heard(model.name, nowMs);
    for (const name of schedule.silent(nowMs)) {
      const state = here.get(name);
      if (state !== undefined) leave(state);
    }
    askAll();
    if (!schedule.done && nowMs < limitMs) at(nowMs + 500, tick);
  };
  at(500, tick);

  while (!schedule.done && events.length > 0) {
    let first = 0;
    for (let n = 1; n < events.length; n++) {
      const [a, b] = [events[n]!, events[first]!];
      if (a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) first = n;
    }
    const [event] = events.splice(first, 1);
    nowMs = Math.max(nowMs, event!.atMs);
    event!.act();
    expect(schedule.left).to.equal(all.length - settledBy.size);
  }
  return { endMs: nowMs, settledBy, asked, cancelled };
}

const fast = (name: string, more: Partial<PeerModel> = {}): PeerModel => ({
  name,
  has: 'all',
  latencyMs: 20,
  bytesPerMs: 100 * KIB,
  ...more,
});

/** Mulberry32. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return limit => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

function randomDownload(seed: number): Download {
  const random = randomFrom(seed);
  const count = 1 + random(24);
  const some = (): number[] => Array.from({ length: count }, (_, index) => index).filter(() => random(2) === 0);
  const peers: PeerModel[] = Array.from({ length: 1 + random(6) }, (_, n) => ({
    name: `peer ${n}`,
    has: random(2) === 0 ? 'all' : some(),
    latencyMs: random(400),
    bytesPerMs: [10, 100, 1000, 100_000][random(4)]!,
    joinsAtMs: random(3) === 0 ? random(20_000) : 0,
    credit: [MIB, 2 * MIB, CREDIT][random(3)]!,
    ...[
      {},
      {},
      { stallsAfter: random(5) },
      { vanishesAtMs: random(30_000) },
      { lies: true },
      { lacks: (index: number) => index % 3 === 0 },
    ][random(6)],
  }));
  const wanted = random(3) === 0 ? some() : undefined;
  return {
    count,
    peers,
    lengthOf: index => (index === count - 1 ? 17 + random(1) : MIB),
    ...(wanted === undefined ? {} : { wanted }),
    ...(random(3) === 0 ? { window: 8 } : {}),
    limitMs: 4_000_000,
  };
}

function checkRandom(seed: number): void {
  const download = randomDownload(seed);
  const { settledBy } = play(download);
  const wanted = download.wanted ?? Array.from({ length: download.count }, (_, index) => index);
  const givers = download.peers.filter(
    ({ stallsAfter, vanishesAtMs, lies }) => stallsAfter === undefined && vanishesAtMs === undefined && lies !== true,
  );
  for (const index of wanted) {
    // Within a window, one that nobody gives holds up those behind it.
    const before = download.window === undefined ? [index] : wanted.filter(other => other <= index);
    const isGiven = before.every(one =>
      givers.some(({ has, lacks }) => (has === 'all' || has.includes(one)) && lacks?.(one) !== true),
    );
    if (isGiven) expect(settledBy.has(index), `block ${index} of seed ${seed}`).to.equal(true);
  }
}

describe('the schedule', () => {
  it('gets every block that somebody honest has, exactly once, from whatever peers', () => {
    for (let n = 0; n < 150; n++) {
      const seed = randomInt(2 ** 31);
      try {
        checkRandom(seed);
      } catch (error) {
        console.log(`      seed ${seed}`);
        throw error;
      }
    }
  });

  it('asks nothing twice while nobody is slow', () => {
    const { asked, settledBy } = play({
      count: 200,
      peers: [fast('a'), fast('b'), fast('c', { bytesPerMs: 50 * KIB })],
    });
    expect(settledBy.size).to.equal(200);
    expect(asked).to.have.length(200);
  });

  it('gives each a part by its rate', () => {
    const { settledBy } = play({ count: 400, peers: [fast('fast'), fast('slow', { bytesPerMs: 10 * KIB })] });
    const bySlow = [...settledBy.values()].filter(name => name === 'slow').length;
    expect(bySlow).to.be.within(400 / 25, 400 / 7);
  });

  it('asks in order where everybody has everything', () => {
    const { asked } = play({ count: 50, peers: [fast('a'), fast('b')] });
    expect(asked.map(({ index }) => index)).to.deep.equal(Array.from({ length: 50 }, (_, n) => n));
  });

  it('asks the rarest first where several are incomplete', () => {
    const schedule = new Schedule({ count: 10, wanted: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], lengthOf: () => MIB });
    schedule.addPeer('seed', 'all', 4 * MIB, 0);
    schedule.addPeer('a', [0, 1, 2, 3, 4, 5], 4 * MIB, 0);
    schedule.addPeer('b', [0, 1, 2, 3, 6, 7], 4 * MIB, 0);
    expect(schedule.ask('seed', 0)).to.deep.equal([8, 9, 4, 5]);
    expect(schedule.ask('b', 0)).to.deep.equal([6, 7, 0, 1]);
  });

  it('asks elsewhere what a stalled peer was asked for', () => {
    const { settledBy, asked, endMs } = play({
      count: 20,
      peers: [fast('staller', { stallsAfter: 0 }), fast('other')],
    });
    expect(settledBy.size).to.equal(20);
    expect(new Set(settledBy.values())).to.deep.equal(new Set(['other']));
    expect(endMs).to.be.below(2 * MIN_STALL_MS);
    expect(asked.filter(({ peer }) => peer === 'staller')).to.have.length(CREDIT / MIB);
  });

  it('asks a third peer when two have stalled with the same block', () => {
    const peers = [
      fast('one', { stallsAfter: 0 }),
      fast('two', { stallsAfter: 0 }),
      fast('late', { joinsAtMs: 15_000 }),
    ];
    const { settledBy, endMs } = play({ count: 2, peers });
    expect(settledBy.size).to.equal(2);
    expect(endMs).to.be.below(MAX_STALL_MS / 2);
  });

  it('sees through a crowd of peers that never answer', () => {
    const crowd = Array.from({ length: 15 }, (_, n) => fast(`staller ${n}`, { stallsAfter: 0 }));
    const { settledBy, endMs } = play({ count: 1, peers: [...crowd, fast('honest')] });
    expect(settledBy.get(0)).to.equal('honest');
    expect(endMs).to.be.below(6 * MIN_STALL_MS);
  });

  it('does not wait for one that is heard of and so slow that it never ends', () => {
    const peers = [fast('trickle', { bytesPerMs: 0.001 }), fast('honest', { joinsAtMs: 1000 })];
    const { settledBy, endMs } = play({ count: 3, peers });
    expect(new Set(settledBy.values())).to.deep.equal(new Set(['honest']));
    expect(endMs).to.be.below(3 * MIN_STALL_MS);
  });

  it('asks nothing twice because of our own limit, unless a peer is silent', () => {
    const maxDown = 100_000;
    const schedule = new Schedule({ count: 2, wanted: [0, 1], lengthOf: () => MIB, maxDown });
    schedule.addPeer('first', 'all', MIB, 0);
    schedule.addPeer('second', 'all', CREDIT, 0);
    expect([schedule.ask('first', 0), schedule.ask('second', 0)]).to.deep.equal([[0], [1]]);
    const bothMs = (2 * MIB * 1000) / maxDown;
    for (let nowMs = 0; nowMs < bothMs; nowMs += MIN_STALL_MS / 2) {
      schedule.heard('first', nowMs);
      expect(schedule.ask('second', nowMs), String(nowMs)).to.deep.equal([]);
    }
    schedule.heard('second', 2 * bothMs);
    expect(schedule.ask('second', 2 * bothMs)).to.deep.equal([0]);
  });

  it('cancels the slower one in the end, which may send it all the same', () => {
    const schedule = new Schedule({ count: 1, wanted: [0], lengthOf: () => MIB });
    schedule.addPeer('slow', 'all', CREDIT, 0);
    schedule.addPeer('fast', 'all', CREDIT, 0);
    expect(schedule.ask('slow', 0)).to.deep.equal([0]);
    expect(schedule.ask('fast', 0)).to.deep.equal([]);
    schedule.heard('slow', MIN_STALL_MS);
    expect(schedule.ask('fast', MIN_STALL_MS + 1)).to.deep.equal([0]);
    expect(schedule.arrived('fast', 0, 5000)).to.equal('wanted');
    expect(schedule.settled(0, 5000)).to.deep.equal(['slow']);
    expect(schedule.done).to.equal(true);
    expect(schedule.arrived('slow', 0, 5001)).to.equal('late');
    expect(schedule.arrived('slow', 0, 5002)).to.equal('unasked');
  });

  it('is hardly delayed by a peer of 10 kB/s beside one of 100 MB/s', () => {
    const alone = play({ count: 1000, peers: [fast('fast')] });
    const both = play({ count: 1000, peers: [fast('slow', { bytesPerMs: 10 }), fast('fast')] });
    expect(both.settledBy.size).to.equal(1000);
    expect(both.endMs).to.be.below(alone.endMs + MIN_STALL_MS);
  });

  it('is hardly delayed by it within a window either', () => {
    const alone = play({ count: 300, window: 8, peers: [fast('fast')] });
    const both = play({ count: 300, window: 8, peers: [fast('slow', { bytesPerMs: 10 }), fast('fast')] });
    expect(both.endMs).to.be.below(alone.endMs + 2 * MIN_STALL_MS);
  });

  it('keeps within the credit of each, and asks nothing of one that gives less than a block', () => {
    const { settledBy, asked } = play({
      count: 30,
      peers: [fast('tiny', { credit: MIB - 1 }), fast('small', { credit: MIB }), fast('odd', { credit: 2 * MIB + 5 })],
    });
    expect(settledBy.size).to.equal(30);
    expect(asked.filter(({ peer }) => peer === 'tiny')).to.deep.equal([]);
  });

  it('opens a block again that was wrong, and what was asked from one that left', () => {
    const schedule = new Schedule({ count: 3, wanted: [0, 1, 2], lengthOf: () => MIB });
    schedule.addPeer('liar', 'all', 2 * MIB, 0);
    expect(schedule.ask('liar', 0)).to.deep.equal([0, 1]);
    expect(schedule.arrived('liar', 0, 1)).to.equal('wanted');
    schedule.rejected(0);
    schedule.removePeer('liar');
    schedule.addPeer('honest', 'all', CREDIT, 2);
    expect(schedule.ask('honest', 2)).to.deep.equal([0, 1, 2]);
    expect(schedule.left).to.equal(3);
  });

  it('does not ask for a block again that another still owes, when one was wrong', () => {
    const schedule = new Schedule({ count: 1, wanted: [0], lengthOf: () => MIB });
    schedule.addPeer('slow', 'all', CREDIT, 0);
    schedule.ask('slow', 0);
    schedule.addPeer('liar', 'all', CREDIT, 5000);
    expect(schedule.ask('liar', 5000)).to.deep.equal([0]);
    expect(schedule.arrived('liar', 0, 5001)).to.equal('wanted');
    expect(schedule.arrived('slow', 0, 5002), 'while the other is checked').to.equal('late');
    schedule.rejected(0);
    schedule.removePeer('liar');
    expect(schedule.ask('slow', 5003), 'both are gone, so it is open again').to.deep.equal([0]);
  });

  it('takes blocks that a peer gained or lacks into account', () => {
    const schedule = new Schedule({ count: 4, wanted: [0, 1, 2, 3], lengthOf: () => MIB });
    schedule.addPeer('a', [1], CREDIT, 0);
    expect(schedule.nowhere).to.equal(3);
    expect(schedule.ask('a', 0)).to.deep.equal([1]);
    schedule.gained('a', [0, 2]);
    expect(schedule.nowhere).to.equal(1);
    expect(schedule.ask('a', 0)).to.deep.equal([0, 2]);
    schedule.lacked('a', 2);
    expect(schedule.ask('a', 0)).to.deep.equal([]);
    expect(schedule.nowhere).to.equal(2);
    schedule.gained('a', [2]);
    expect(schedule.ask('a', 0)).to.deep.equal([2]);
  });

  it('names peers that have nothing of what is missing', () => {
    const schedule = new Schedule({ count: 2, wanted: [1], lengthOf: () => MIB });
    schedule.addPeer('empty', [], CREDIT, 0);
    schedule.addPeer('other', [0], CREDIT, 0);
    schedule.addPeer('good', [1], CREDIT, 0);
    expect(schedule.useless()).to.deep.equal(['empty', 'other']);
  });

  it('is done at once when nothing is wanted', () => {
    expect(new Schedule({ count: 5, wanted: [], lengthOf: () => MIB }).done).to.equal(true);
    expect(new Schedule({ count: 0, wanted: [], lengthOf: () => MIB }).done).to.equal(true);
  });

  it('counts a block that is wanted twice once, and none that does not exist', () => {
    const schedule = new Schedule({ count: 2, wanted: [1, 1, 5, -1], lengthOf: () => MIB });
    expect(schedule.left).to.equal(1);
    expect(CREDIT).to.equal(CREDIT_BYTES);
  });
});
