import { expect } from 'chai';
import fc from 'fast-check';
import type { Stream } from '@libp2p/interface';
import { once } from 'node:events';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { isShoalError, type ErrorCode } from '../../src/errors.ts';
import {
  CLOSE_LINGER_MS,
  MAX_BLOCK_BYTES,
  MAX_HEADER_BYTES,
  MAX_UNREAD_BYTES,
  RATE_BURST_MS,
  SLICE_MS,
  STALLED_WRITE_TIMEOUT_MS,
} from '../../src/limits.ts';
import { channelOf } from '../../src/net/streams.ts';
import type { Channel, Clock, Frame } from '../../src/ports.ts';
import { Rate, type Rates } from '../../src/rate.ts';
import { ManualClock, systemClock, Wire } from './harness.ts';

const REMOTE = { peer: 'the-peer', address: '/ip4/127.0.0.1/tcp/1', path: 'direct' } as const;

describe('A channel over a libp2p stream', () => {
  let wire: Wire;

  before(async () => {
    wire = await Wire.make();
  });

  after(() => wire.stop());

  const channelAndStream = async (clock: Clock = systemClock): Promise<[Channel, Stream, Stream]> => {
    const [near, far] = await wire.stream();
    return [channelOf(near, REMOTE, clock), far, near];
  };

  const channels = async (): Promise<[Channel, Channel]> => {
    const [near, far] = await wire.stream();
    return [channelOf(near, REMOTE, systemClock), channelOf(far, REMOTE, systemClock)];
  };

  it('carries hundreds of full blocks both ways at once', async function () {
    // Seconds of work on an idle machine, and many more on a busy one.
    this.timeout(60_000);
    const [near, far] = await channels();
    const count = 150;
    const body = new Uint8Array(MAX_BLOCK_BYTES).fill(7);
    const sendAll = async (channel: Channel): Promise<void> => {
      for (let i = 0; i < count; i++) await channel.send(numbered(i), body);
      await channel.close();
    };
    const readAll = async (channel: Channel): Promise<number> => {
      let next = 0;
      for await (const frame of channel.frames()) {
        expect(frame.header).to.deep.equal(numbered(next++));
        expect(frame.body.length).to.equal(MAX_BLOCK_BYTES);
        expect([frame.body[0], frame.body.at(-1)]).to.deep.equal([7, 7]);
      }
      return next;
    };
    const [, , there, back] = await Promise.all([sendAll(near), sendAll(far), readAll(far), readAll(near)]);
    expect([there, back]).to.deep.equal([count, count]);
    expect(near.receivedBytes).to.equal(count * (8 + 4 + MAX_BLOCK_BYTES));
  });

  it('gives each body memory of its own, so that it can be handed to a worker', async () => {
    const [near, far] = await channels();
    await near.send(numbered(1), new Uint8Array(1000));
    await near.close();
    const [frame] = await collect(far);
    expect(frame?.body.byteOffset).to.equal(0);
    expect(frame?.body.buffer.byteLength).to.equal(1000);
  });

  it('keeps messages whole and in order when several are sent at once', async () => {
    const [near, far] = await channels();
    const sizes = Array.from({ length: 60 }, (_, i) => (i * 37_003) % (MAX_BLOCK_BYTES / 8));
    const received = collect(far);
    await Promise.all(sizes.map((size, i) => near.send(numbered(i), new Uint8Array(size).fill(i))));
    await near.close();
    const frames = await received;
    expect(frames.map(frame => frame.body.length)).to.deep.equal(sizes);
    frames.forEach((frame, i) => {
      expect(frame.header).to.deep.equal(numbered(i));
      expect(frame.body.every(byte => byte === i)).to.equal(true);
    });
  });

  it('reads messages however they are cut on the way', async () => {
    const message = fc.record({ header: fc.uint8Array({ maxLength: 20 }), body: fc.uint8Array({ maxLength: 50 }) });
    const property = fc.asyncProperty(
      fc.array(message, { maxLength: 10 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 30 })),
      async (messages, cuts) => {
        const [channel, raw] = await channelAndStream();
        const received = collect(channel);
        let bytes = concat(messages.map(({ header, body }) => encoded(header.length, body.length, header, body)));
        while (bytes.length > 0) {
          const { value: cut } = cuts.next() as { value: number };
          raw.send(bytes.subarray(0, cut));
          bytes = bytes.subarray(cut);
        }
        await raw.close();
        const frames = await received;
        await channel.close();
        expect(frames).to.deep.equal(messages);
      },
    );
    await fc.assert(property, { numRuns: 30 });
  });

  it('holds what arrives before it is read', async () => {
    const [near, far] = await channels();
    for (let i = 0; i < 5; i++) await near.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES));
    await near.close();
    expect((await collect(far)).map(frame => frame.header)).to.deep.equal([0, 1, 2, 3, 4].map(numbered));
  });

  it('ends when more arrives than may wait to be read', async () => {
    const [near, far] = await channels();
    const sending = (async () => {
      for (let i = 0; i <= MAX_UNREAD_BYTES / MAX_BLOCK_BYTES + 8; i++)
        await near.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES));
    })();
    await expectRejection(sending, 'unavailable');
    await expectRejection(collect(far), 'protocol', /nobody has asked for or taken/);
    await expectRejection(collect(near), 'unavailable');
  });

  it('ends when a flood of empty messages arrives', async () => {
    const [channel, raw] = await channelAndStream();
    const flood = new Uint8Array(1024 * 1024);
    const reset = once(raw, 'close');
    raw.send(flood);
    await reset;
    await expectRejection(collect(channel), 'protocol', /nobody has asked for or taken/);
  });

  for (const [what, headerBytes, bodyBytes] of [
    ['header', MAX_HEADER_BYTES + 1, 0],
    ['body', 1, MAX_BLOCK_BYTES + 1],
    ['message', 0xffffffff, 0xffffffff],
  ] as const) {
    it(`refuses a ${what} that claims to be too long, before it has arrived`, async () => {
      const [channel, raw] = await channelAndStream();
      const reset = once(raw, 'close');
      raw.send(encoded(headerBytes, bodyBytes));
      await expectRejection(collect(channel), 'protocol', /at most/);
      await reset;
    });
  }

  for (const cut of [1, 8, 9, 20]) {
    it(`fails when the other side closes ${cut} bytes into a message of 27`, async () => {
      const [channel, raw] = await channelAndStream();
      raw.send(encoded(2, 17, new Uint8Array(2), new Uint8Array(17)).subarray(0, cut));
      await raw.close();
      await expectRejection(collect(channel), 'unavailable', /in the middle of a message/);
    });
  }

  it('gives what arrived before the other side aborted, then fails', async () => {
    const [near, far] = await channels();
    const frames = far.frames()[Symbol.asyncIterator]();
    await near.send(numbered(1));
    await near.send(numbered(2));
    const received = [await frames.next(), await frames.next()].map(({ value }) => (value as Frame).header);
    expect(received).to.deep.equal([numbered(1), numbered(2)]);
    near.abort(new Error('enough'));
    await expectRejection(frames.next(), 'unavailable');
    await expectRejection(far.send(numbered(3)), 'unavailable');
  });

  it('fails, and does not just end, when the connection is lost', async () => {
    const lossy = await Wire.make();
    try {
      const [nearStream, farStream] = await lossy.stream();
      const [near, far] = [channelOf(nearStream, REMOTE, systemClock), channelOf(farStream, REMOTE, systemClock)];
      const [nearReading, farReading] = [collect(near), collect(far)];
      lossy.connection.abort(new Error('pulled the plug'));
      await Promise.all([expectRejection(nearReading, 'unavailable'), expectRejection(farReading, 'unavailable')]);
    } finally {
      await lossy.stop();
    }
  });

  it('tells its own reader and writer when it is aborted, with the cause', async () => {
    const [channel] = await channelAndStream();
    const reading = collect(channel);
    const reason = new Error('enough');
    channel.abort(reason);
    const error = await expectRejection(reading, 'unavailable', /enough/);
    expect(error.cause).to.equal(reason);
    await expectRejection(channel.send(numbered(1)), 'unavailable', /enough/);
    await channel.close();
  });

  it('ends a send that waits when it is aborted', async () => {
    const [channel, raw] = await channelAndStream();
    raw.pause();
    const sending = fill(channel);
    await blocked(channel, sending);
    channel.abort(new Error('enough'));
    await expectRejection(sending, 'unavailable', /enough/);
  });

  it('gives up a peer that has stopped reading, and not one that is slow', async () => {
    const clock = new ManualClock();
    const [channel, raw] = await channelAndStream(clock);
    raw.pause();
    const sending = fill(channel);
    await clock.until(1);
    clock.advance(STALLED_WRITE_TIMEOUT_MS - 1);
    raw.addEventListener('message', () => undefined);
    const took = once(raw, 'message');
    raw.resume();
    await took;
    raw.pause();
    await blocked(channel, sending);
    clock.advance(1);
    await clock.until(1);
    clock.advance(STALLED_WRITE_TIMEOUT_MS - 1);
    expect(await Promise.race([sending.catch(() => 'failed'), Promise.resolve('waits')])).to.equal('waits');
    await clock.until(1);
    clock.advance(STALLED_WRITE_TIMEOUT_MS);
    await expectRejection(sending, 'unavailable', /stopped reading/);
  });

  it('can still read after it has closed, until the other side closes', async () => {
    const [near, far] = await channels();
    await near.send(numbered(1));
    await near.close();
    expect((await collect(far)).length).to.equal(1);
    await far.send(numbered(2));
    await far.close();
    expect((await collect(near)).map(frame => frame.header)).to.deep.equal([numbered(2)]);
  });

  it('writes what was sent before it closes, and takes nothing more', async () => {
    const [near, far] = await channels();
    const received = collect(far);
    for (let i = 0; i < 20; i++) void near.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES / 2));
    const closing = near.close();
    await expectRejection(near.send(numbered(99)), 'unavailable', /closed on this side/);
    await closing;
    expect((await received).length).to.equal(20);
    await near.close();
  });

  it('lets go of the stream when the other side does not close in turn', async () => {
    const clock = new ManualClock();
    const [channel, raw] = await channelAndStream(clock);
    const reading = collect(channel);
    await channel.close();
    await clock.until(1);
    const reset = once(raw, 'close');
    clock.advance(CLOSE_LINGER_MS);
    await reset;
    expect(await reading).to.deep.equal([]);
    expect(clock.sleeping).to.equal(0);
  });

  it('throws away what arrives after its reader has gone', async () => {
    const [nearStream, farStream] = await wire.stream();
    const [near, far] = [channelOf(nearStream, REMOTE, systemClock), channelOf(farStream, REMOTE, systemClock)];
    const arrived = once(farStream, 'remoteCloseWrite');
    await near.send(numbered(1));
    for await (const frame of far.frames()) {
      expect(frame.header).to.deep.equal(numbered(1));
      break;
    }
    for (let i = 0; i < 20; i++) await near.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES));
    await near.close();
    await arrived;
    expect(far.receivedBytes).to.be.at.least(20 * MAX_BLOCK_BYTES);
    await far.close();
  });

  it('is read once', async () => {
    const [channel] = await channelAndStream();
    channel.frames();
    expect(() => channel.frames()).to.throw('once');
    channel.abort(new Error('done'));
  });

  it('does not send what the protocol does not allow', async () => {
    const [channel] = await channelAndStream();
    expect(() => channel.send(new Uint8Array(MAX_HEADER_BYTES + 1))).to.throw(RangeError);
    expect(() => channel.send(new Uint8Array(1), new Uint8Array(MAX_BLOCK_BYTES + 1))).to.throw(RangeError);
    channel.abort(new Error('done'));
  });

  describe('where bytes per second are limited', () => {
    const LIMIT = 100_000;
    const SLICE = (LIMIT * SLICE_MS) / 1000;
    /** What passes at once after a time in which nothing did. */
    const AT_ONCE = (RATE_BURST_MS / SLICE_MS + 1) * SLICE;
    const HEAD = encoded(4, MAX_BLOCK_BYTES, numbered(1)).length;
    const body = new Uint8Array(MAX_BLOCK_BYTES).fill(7);
    let clock: ManualClock;
    let limited: Rates;
    beforeEach(() => {
      clock = new ManualClock();
      limited = { up: new Rate(clock, LIMIT), down: new Rate(clock, LIMIT) };
    });

    /** Lets time go by until `work` is done. */
    async function passing(work: Promise<unknown>): Promise<void> {
      let isDone = false;
      const done = work.finally(() => (isDone = true));
      while (!isDone) {
        await Promise.race([done, clock.until(1)]);
        clock.advance(SLICE_MS);
      }
      await done;
    }

    it('sends a body in slices, as time goes by', async () => {
      const [near, far] = await wire.stream();
      const channel = channelOf(near, REMOTE, clock, undefined, { ...limited, down: new Rate(clock) });
      const arrived = counter(far);
      const sending = channel.send(numbered(1), body);
      for (let steps = 0; steps < 20; steps++) {
        await arrived.reaches(HEAD + AT_ONCE + steps * SLICE);
        await clock.until(1);
        expect(arrived.bytes).to.equal(HEAD + AT_ONCE + steps * SLICE);
        clock.advance(SLICE_MS);
      }
      await passing(sending);
      await arrived.reaches(HEAD + MAX_BLOCK_BYTES);
      channel.abort(new Error('the end'));
    });

    it('reads a body in slices, and lets the other side send no more than that and a window', async () => {
      const [near, far] = await wire.stream();
      const reader = channelOf(near, REMOTE, clock, undefined, limited);
      const sender = channelOf(far, REMOTE, systemClock);
      const sending = Promise.all([1, 2, 3].map(number => sender.send(numbered(number), body)));
      for (let steps = 0; steps < 20; steps++) {
        // Slices end where what has arrived does, too.
        await until(() => reader.receivedBytes >= HEAD + (steps + 1) * SLICE);
        expect(reader.receivedBytes).to.be.at.most(HEAD + AT_ONCE + steps * SLICE);
        await clock.until(1);
        clock.advance(SLICE_MS);
      }
      expect(far.writeBufferLength).to.be.above(MAX_BLOCK_BYTES / 2);
      const received = collect(reader);
      await passing(Promise.all([sending.then(() => sender.close()), received]));
      expect((await received).map(sizes)).to.deep.equal([1, 2, 3].map(() => [4, MAX_BLOCK_BYTES]));
      await reader.close();
    });

    it('sends and reads what has no body at once', async () => {
      const [nearStream, farStream] = await wire.stream();
      const [near, far] = [nearStream, farStream].map(stream => channelOf(stream, REMOTE, clock, undefined, limited));
      void near!.send(numbered(1), body).catch(() => undefined);
      for (let number = 0; number < 1000; number++) void far!.send(numbered(number));
      await far!.close();
      expect((await collect(near!)).length).to.equal(1000);
      near!.abort(new Error('the end'));
    });

    it('reads all that came before the other side closed', async () => {
      const [near, far] = await wire.stream();
      const reader = channelOf(near, REMOTE, clock, undefined, limited);
      const sender = channelOf(far, REMOTE, systemClock);
      const part = body.subarray(0, 50_000);
      await Promise.all([reader.close(), sender.send(numbered(1), part), sender.send(numbered(2), part)]);
      await sender.close();
      const reading = collect(reader);
      await until(() => reader.receivedBytes > 0);
      await until(
        () => reader.receivedBytes === 2 * (HEAD + part.length),
        () => clock.advance(SLICE_MS),
      );
      expect((await reading).map(sizes)).to.deep.equal([1, 2].map(() => [4, 50_000]));
    });

    it('waits no more when it is aborted', async () => {
      const [near, far] = await wire.stream();
      const channel = channelOf(near, REMOTE, clock, undefined, limited);
      const sender = channelOf(far, REMOTE, systemClock);
      const sending = channel.send(numbered(1), body).catch((error: unknown) => error);
      void sender.send(numbered(1), body).catch(() => undefined);
      await clock.until(2);
      channel.abort(new Error('the end'));
      expect(isShoalError(await sending, 'unavailable')).to.equal(true);
      const gone = new AbortController();
      const next = limited.up.take(1, gone.signal);
      clock.advance(SLICE_MS);
      expect(await next, 'the first in turn').to.equal(1);
    });
  });

  it('leaves no listeners behind', async () => {
    const [near, far] = await wire.stream();
    const types = ['message', 'drain', 'end', 'close', 'remoteCloseWrite', 'idle'] as const;
    const count = (stream: Stream) => types.map(type => stream.listenerCount(type));
    const before = count(near);
    const [sender, receiver] = [channelOf(near, REMOTE, systemClock), channelOf(far, REMOTE, systemClock)];
    const received = collect(receiver);
    for (let i = 0; i < 50; i++) await sender.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES));
    expect(near.listenerCount('drain')).to.equal(before[types.indexOf('drain')]);
    const ended = once(near, 'close');
    await sender.close();
    await received;
    await receiver.close();
    await ended;
    expect(count(near)).to.deep.equal(before.map((n, i) => (types[i] === 'close' ? n - 1 : n)));
  });
});

/** Sends until it fails. */
/** The bytes that arrive at a stream. */
function counter(stream: Stream): { readonly bytes: number; reaches(bytes: number): Promise<void> } {
  let bytes = 0;
  stream.addEventListener('message', ({ data }) => (bytes += data.byteLength));
  return {
    get bytes() {
      return bytes;
    },
    reaches: wanted => until(() => bytes >= wanted),
  };
}

/** A channel says how much it has received when asked, and has no event for it. */
async function until(holds: () => boolean, otherwise = (): void => undefined): Promise<void> {
  while (!holds()) {
    otherwise();
    await sleepFor(1);
  }
}

function sizes({ header, body }: Frame): [number, number] {
  return [header.length, body.length];
}

async function fill(channel: Channel): Promise<void> {
  for (let i = 0; ; i++) await channel.send(numbered(i), new Uint8Array(MAX_BLOCK_BYTES));
}

/** Resolves when `sending` has been given time by the event loop and still waits. */
async function blocked(channel: Channel, sending: Promise<void>): Promise<void> {
  let failed = false;
  sending.catch(() => (failed = true));
  const other = channel.peer;
  for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve));
  expect(failed, `sending to ${other} failed`).to.equal(false);
}

async function collect(channel: Channel): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const { header, body } of channel.frames()) frames.push({ header, body });
  return frames;
}

async function expectRejection(work: Promise<unknown>, code: ErrorCode, message = /./): Promise<Error> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isShoalError(error, code)) throw new Error(`expected a ShoalError ${code}, got ${String(error)}`);
  expect(error.message).to.match(message);
  return error;
}

function numbered(i: number): Uint8Array {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, i);
  return header;
}

function encoded(headerBytes: number, bodyBytes: number, ...rest: Uint8Array[]): Uint8Array {
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, headerBytes);
  new DataView(prefix.buffer).setUint32(4, bodyBytes);
  return concat([prefix, ...rest]);
}

function concat(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
