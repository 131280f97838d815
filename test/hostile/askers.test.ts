import { encode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  frame,
  helloTo,
  listedIn,
  Peer,
  proof,
  rawFrame,
  readLink,
  rendezvous,
  sha256,
  today,
  type Fields,
  type Message,
  type Wire,
} from './peer.ts';
import { Stage, type Run } from './product.ts';

const MAX_PEAK_MIB = 400;
/** Sooner than what says nothing is cut off. */
const SOON = '8s';
const NAME = 'original.bin';

describe('A sharer, among hostile askers,', () => {
  const content = randomBytes(20 * 2 ** 20);
  const peers: Peer[] = [];
  const children: ChildProcess[] = [];
  let [stage, run, link]: [Stage, Run, string] = [undefined!, undefined!, ''];
  let id: ReturnType<typeof readLink>['id'];
  let hint = '';
  let asker: Peer;
  let fetches = 0;
  /** Says one byte of a hello per second from the beginning to the end of the suite. */
  let loris: { readonly wire: Wire; readonly overAfterMs: Promise<number> };

  before(async () => {
    stage = await Stage.make();
    await writeFile(stage.path(NAME), content);
    ({ run, link } = await stage.share(stage.path(NAME)));
    const read = readLink(link);
    id = read.id;
    hint = read.hints[0]!;
    asker = await newPeer();
    loris = await startLoris();
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });
  after(async () => {
    await Promise.all(peers.map(peer => peer.stop()));
    await stage.clear();
  });

  const newPeer = async (): Promise<Peer> => {
    const peer = await Peer.start();
    peers.push(peer);
    return peer;
  };

  const startLoris = async (): Promise<typeof loris> => {
    const wire = await asker.open(hint);
    const began = performance.now();
    const drip = async (): Promise<void> => {
      for (const byte of frame(helloTo(wire, id, asker.node.peerId))) {
        if (!(await wire.send(Uint8Array.of(byte)))) return;
        await Promise.race([sleep(1000), wire.over]);
      }
    };
    void drip();
    return { wire, overAfterMs: wire.over.then(() => performance.now() - began) };
  };

  /** Says one thing first, and takes all that comes until the sharer closes. */
  const answerTo = async (peer: Peer, say: (wire: Wire) => Fields): Promise<{ bytes: Buffer; messages: Message[] }> => {
    const wire = await peer.open(hint);
    await wire.say(say(wire));
    await wire.over;
    const messages: Message[] = [];
    for (let next = await wire.next(); next !== undefined; next = await wire.next()) messages.push(next);
    return { bytes: Buffer.concat(wire.transcript), messages };
  };

  /** A conversation with the right hello behind it. */
  const joined = async (peer = asker): Promise<Wire> => {
    const wire = await peer.open(hint);
    await wire.say(helloTo(wire, id, peer.node.peerId));
    const answer = await wire.next();
    expect(answer?.header).to.include({ type: 'hello', have: 'all' });
    return wire;
  };

  /** Somebody honest gets the whole share, in a process of its own. */
  const expectServed = async (timeout = '30s'): Promise<void> => {
    const output = stage.path(`fetched-${fetches++}`);
    const ended = await stage.fetch(link, output, '--timeout', timeout);
    expect(ended.code, ended.stdout.toString()).to.equal(0);
    expect((await readFile(output)).equals(content), 'the same bytes').to.be.true;
    expect(run.child.exitCode).to.equal(null);
    expect(await run.look(), 'MiB at most').to.be.lessThan(MAX_PEAK_MIB);
  };

  it('tells those who only saw the rendezvous key nothing but what it says of an unknown one', async () => {
    const [other, elsewhere] = [await newPeer(), await newPeer()];
    const self = asker.node.peerId;
    const key = rendezvous(id, today());
    const unknown = await answerTo(asker, () => {
      return { type: 'hello', key: rendezvous(id, today() + 1000), proof: randomBytes(32) };
    });
    const forgeries: Record<string, (wire: Wire) => Uint8Array> = {
      'a random proof': () => randomBytes(32),
      'a proof of zeros': () => new Uint8Array(32),
      'the proof of another asker': wire => proof(id, other.node.peerId, wire.remote),
      'a proof for another server': () => proof(id, self, elsewhere.node.peerId),
      'the proof of the server itself': wire => proof(id, wire.remote, self),
    };
    for (const [name, forged] of Object.entries(forgeries)) {
      const { bytes, messages } = await answerTo(asker, wire => ({ type: 'hello', key, proof: forged(wire) }));
      expect(bytes.toString('hex'), name).to.equal(unknown.bytes.toString('hex'));
      expect(
        messages.map(({ header }) => header),
        name,
      ).to.deep.equal([{ type: 'refuse', reason: 'unknown' }]);
      for (const secret of [Buffer.from(id.multihash.digest), id.toString().slice(1, 20)]) {
        expect(bytes.includes(secret), name).to.be.false;
      }
    }
  });

  it('answers under the keys of yesterday, today and tomorrow, and of no other day', async () => {
    for (const offset of [-2, -1, 0, 1, 2]) {
      const wire = await asker.open(hint);
      await wire.say(helloTo(wire, id, asker.node.peerId, today() + offset));
      const expected = Math.abs(offset) === 2 ? 'refuse' : 'hello';
      expect((await wire.next())?.header['type'], `day ${offset}`).to.equal(expected);
      await wire.say({ type: 'bye' });
      await wire.close();
    }
  });

  const GARBAGE: Readonly<Record<string, Uint8Array>> = {
    'random bytes': randomBytes(4000),
    'a random header': rawFrame(randomBytes(60)),
    'no header': rawFrame(new Uint8Array()),
    'a header of 2^32 - 1 bytes': rawFrame(randomBytes(8), randomBytes(8), [2 ** 32 - 1, 0]),
    'a body of 2^32 - 1 bytes': rawFrame(randomBytes(8), randomBytes(8), [8, 2 ** 32 - 1]),
    'a body where there is none': frame({ type: 'bye' }, randomBytes(10)),
    'an unknown type': frame({ type: 'gift' }),
    'a server’s message': frame({ type: 'have', stream: 'data', ranges: [0, 1] }),
    'an unknown entry': frame({ type: 'bye', more: true }),
    'a type that is a number': frame({ type: 1 }),
    'bytes for text': frame({ type: 'get', kind: randomBytes(5), stream: 'data', ranges: [0, 1] }),
    'deep nesting': rawFrame(Buffer.alloc(1000, 0x81)),
    'no map': rawFrame(encode('hello')),
    'a short key': frame({ type: 'hello', key: randomBytes(35), proof: randomBytes(32) }),
    'a short proof': frame({ type: 'hello', key: randomBytes(36), proof: randomBytes(31) }),
  };
  const WRONG_GETS: Readonly<Record<string, Uint8Array>> = {
    ...GARBAGE,
    'a second hello': frame({ type: 'hello', key: randomBytes(36), proof: randomBytes(32) }),
    ...Object.fromEntries(
      Object.entries({
        'a chunk beyond the share': [21, 1],
        'more than there is': [0, 2 ** 53 - 1],
        'the last number there is': [2 ** 53 - 1, 1],
        'a negative start': [-1, 1],
        'a negative count': [0, -1],
        'a count of 0': [0, 0],
        'ranges that overlap': [0, 2, 1, 2],
        'ranges backwards': [4, 1, 0, 1],
        'half a range': [0],
        'a fraction': [0.5, 1],
        'too many ranges': Array.from({ length: 4096 }, (_, n) => n),
        'more than the credit': [0, 19],
      }).map(([name, ranges]) => [name, frame({ type: 'get', kind: 'chunk', stream: 'data', ranges })]),
    ),
    'index blocks, of which there are none': frame({ type: 'get', kind: 'index', stream: 'data', ranges: [0, 1] }),
    'a stream that there is not': frame({ type: 'get', kind: 'chunk', stream: 'keys', ranges: [0, 1] }),
  };

  it('cuts off who says anything but a hello first', async () => {
    await inTurns(Object.entries(GARBAGE), async ([name, bytes]) => {
      const wire = await asker.open(hint);
      await wire.send(bytes);
      await wire.over;
      expect(wire.receivedBytes, name).to.equal(0);
    });
    await expectServed();
  });

  it('cuts off who asks for what there is not, or in no language', async () => {
    await inTurns(Object.entries(WRONG_GETS), async ([name, bytes]) => {
      const wire = await joined();
      const before = wire.receivedBytes;
      await wire.send(bytes);
      await wire.over;
      expect(wire.receivedBytes - before, name).to.be.at.most(name === 'more than the credit' ? 9 * 2 ** 20 : 0);
    });
    await expectServed();
  });

  it('lives through ten thousand requests on one channel', async () => {
    const wire = await joined();
    const get = frame({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 1] });
    const cancel = frame({ type: 'cancel', kind: 'chunk', stream: 'data', ranges: [0, 1] });
    for (let n = 0; n < 10_000 && (await wire.send(n % 10 === 0 ? get : cancel)); n++);
    await Promise.all([expectServed(), wire.say({ type: 'bye' })]);
  }).timeout(30_000);

  it('keeps nothing of what it has sent for who cancels it afterwards', async () => {
    const wire = await joined();
    for (let round = 0; round < 150; round++) {
      await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 4] });
      for (let n = 0; n < 4; n++) expect((await wire.next())?.header['type']).to.equal('block');
      await wire.say({ type: 'cancel', kind: 'chunk', stream: 'data', ranges: [0, 4] });
    }
    expect(await run.look(), 'MiB at most').to.be.lessThan(MAX_PEAK_MIB);
    await Promise.all([expectServed(), wire.say({ type: 'bye' })]);
  }).timeout(60_000);

  it('gives whole blocks to who asks for more than its credit before it reads', async () => {
    const wire = await asker.open(hint);
    await wire.say(helloTo(wire, id, asker.node.peerId));
    const listed = listedIn((await wire.next())!.body, 'data');
    wire.stream.pause();
    await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [0, 6] });
    while (wire.stream.readBufferLength < 100_000) await sleep(20);
    await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [6, 3] });
    // What was asked first is taken, and with it the second request, when this one is answered.
    expect((await answerTo(asker, () => ({ type: 'bye' }))).messages).to.deep.equal([]);
    wire.stream.resume();
    for (let n = 0; n < 9; n++) {
      const block = await wire.next();
      expect(Buffer.from(sha256(block!.body)).toString('hex')).to.equal(listed[Number(block!.header['index'])]);
    }
    await wire.say({ type: 'bye' });
  }).timeout(30_000);

  it('lives through a thousand channels of one peer, most of which it refuses', async () => {
    const peer = await newPeer();
    const answers = await Promise.allSettled(
      Array.from({ length: 1000 }, async () => {
        const wire = await peer.open(hint);
        await wire.say(helloTo(wire, id, peer.node.peerId));
        return (await wire.next())?.header['type'];
      }),
    );
    const served = answers.filter(answer => answer.status === 'fulfilled' && answer.value === 'hello');
    expect(served.length).to.be.within(1, 32);
    await expectServed();
    await peer.stop();
  }).timeout(30_000);

  it('serves others while channels are open on which nothing is ever said', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, newPeer));
    for (const peer of many) await peer.connect(hint);
    const wires = await Promise.allSettled(many.flatMap(peer => Array.from({ length: 15 }, () => peer.open(hint))));
    expect(wires.filter(({ status }) => status === 'fulfilled').length).to.be.greaterThan(200);
    await expectServed(SOON);
    await Promise.all(many.map(peer => peer.stop()));
  }).timeout(60_000);

  it('serves others while five hundred connections come at once and say nothing', async () => {
    const [, host = '', port = ''] = /^\/ip4\/([\d.]+)\/tcp\/(\d+)/.exec(hint) ?? [];
    const sockets: Socket[] = [];
    for (let n = 0; n < 500; n++) sockets.push(connect(Number(port), host).on('error', () => undefined));
    await Promise.race(sockets.map(socket => once(socket, 'connect')));
    await expectServed(SOON);
    for (const socket of sockets) socket.destroy();
  }).timeout(60_000);

  it('serves others while a crowd of identities is connected that says nothing', async () => {
    const crowd = child('crowd.child.ts', link);
    children.push(crowd);
    const [connected] = (await once(crowd.stdout!, 'data')) as [Buffer];
    expect(Number(connected)).to.be.greaterThan(300);
    await expectServed(SOON);
  }).timeout(120_000);

  it('piles up nothing for one who asks on, gives window, and reads nothing', async () => {
    const again = await stage.share(stage.path(NAME));
    const beforeMiB = await again.run.look();
    const unread = child('unread.child.ts', again.link);
    children.push(unread);
    await once(unread.stdout!, 'data');
    expect((await again.run.look()) - beforeMiB, 'MiB more, of 150 asked for').to.be.lessThan(75);
    unread.kill('SIGKILL');
    await again.run.stop();
  }).timeout(60_000);

  it('serves others while some ask and stop reading', async () => {
    for (let n = 0; n < 4; n++) children.push(child('stalled.child.ts', link));
    await Promise.all(children.map(child => once(child.stdout!, 'data')));
    for (const child of children) child.kill('SIGSTOP');
    await expectServed();
  }).timeout(60_000);

  it('has cut off by then who says a byte a second', async () => {
    expect(await loris.overAfterMs, 'ms').to.be.lessThan(25_000);
    expect(loris.wire.receivedBytes).to.equal(0);
    const ended = await run.stop();
    expect(ended.code).to.equal(130);
    expect(ended.stderr.toString()).to.equal('');
  }).timeout(40_000);

  it('gives exactly the chunks that are listed', async () => {
    const again = await stage.share(stage.path(NAME));
    const read = readLink(again.link);
    const wire = await asker.open(read.hints[0]!);
    await wire.say(helloTo(wire, read.id, asker.node.peerId));
    const hello = await wire.next();
    const listed = listedIn(hello!.body, 'data');
    await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [1, 1, 3, 1] });
    for (let n = 0; n < 2; n++) {
      const block = await wire.next();
      expect(Buffer.from(sha256(block!.body)).toString('hex')).to.equal(listed[Number(block!.header['index'])]);
    }
    await again.run.stop();
  });
});

/** Several at a time. */
async function inTurns<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let n = 0; n < all.length; n += 8) await Promise.all(all.slice(n, n + 8).map(work));
}

/** A process of its own, which speaks when it has done what it does. */
function child(script: string, link: string): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, script), link], { stdio: ['ignore', 'pipe', 'inherit'] });
}
