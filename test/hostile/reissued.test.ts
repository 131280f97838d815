import { decode, encode } from '@ipld/dag-cbor';
import { ed25519 } from '@noble/curves/ed25519.js';
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { expect } from 'chai';
import type { CID } from 'multiformats/cid';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { Owner } from './owners.ts';
import {
  dagCid,
  isHello,
  linkOf,
  makeShare,
  manifestStream,
  padded,
  shareOfFile,
  type Fields,
  type Share,
} from './peer.ts';
import { Stage, type Ended } from './product.ts';
import { Relay } from './relays.ts';
import { answer, greet, honest, serve, type Behaviour, type Server } from './servers.ts';

const HOUR = 3600;
const PATIENCE = '2s';
const END = HOUR * (Math.floor(Date.now() / 1000 / HOUR) + 100);

/** A grant block and its id. */
interface Grant {
  readonly id: CID;
  readonly block: Uint8Array;
}

const newOwner = (): Uint8Array => ed25519.getPublicKey(randomBytes(32));

/** What a carrier, who has no key, makes of a share block. */
const BLOCKS: Readonly<Record<string, (block: Fields, other: Fields) => Fields>> = {
  'another owner': block => ({ ...block, owner: newOwner() }),
  'no end': ({ expires: _expires, ...block }) => block,
  'a later end': block => ({ ...block, expires: END + HOUR }),
  'the chunks of another share': (block, { data }) => ({ ...block, data }),
  'the commitment of another share': (block, { commitment }) => ({ ...block, commitment }),
};

describe('What was issued anew by who has no key:', () => {
  const content = randomBytes(200_000);
  const manifest = encode({ kind: 'file', name: 'f', entries: [{ path: 'f', size: content.length }] });
  const share = makeShare({
    manifest: manifestStream(manifest),
    data: padded(content),
    twist: root => ({ ...root, expires: END }),
  });
  const other = shareOfFile('f', randomBytes(200_000));
  const stops: (() => Promise<unknown>)[] = [];
  let stage: Stage;
  let fetches = 0;

  before(async () => (stage = await Stage.make()));
  after(() => stage.clear());
  afterEach(async () => {
    await Promise.all(stops.splice(0).map(stop => stop()));
  });

  const start = async (of: Share, behaviour: Behaviour = honest): Promise<Server> => {
    const server = await serve(of, behaviour);
    stops.push(() => server.stop());
    return server;
  };

  const fetchOf = async (link: string, ...more: string[]): Promise<Ended> => {
    const output = stage.path(`out-${fetches++}`);
    const ended = await stage.fetch(link, output, '--timeout', PATIENCE, ...more);
    const found = await readFile(output).catch(() => undefined);
    expect(found !== undefined).to.equal(ended.code === 0);
    if (found !== undefined) expect(found.equals(content), 'never anything else').to.equal(true);
    return ended;
  };

  const expectEnd = (ended: Ended, code: string, exitCode: number): void => {
    expect(ended.events.at(-1), ended.stdout.toString()).to.include({ event: 'error', code, exitCode });
    expect(ended.code).to.equal(exitCode);
  };

  for (const [what, change] of Object.entries(BLOCKS)) {
    it(`a share block with ${what} is refused by who has the key, and changes nothing for the link that was given`, async () => {
      const root = encode(change(decode<Fields>(share.root), decode<Fields>(other.root)));
      const forged = { ...share, id: dagCid(root), root };
      const [bad, good] = [await start(forged), await start(share)];
      const lying = await start(share, talk => greet(talk, {}, root).then(() => talk.wire.over));
      const [byItsId, inItsPlace, beside] = await Promise.all([
        fetchOf(linkOf(forged, [bad.hint])),
        fetchOf(linkOf(share, [bad.hint, lying.hint])),
        fetchOf(linkOf(share, [bad.hint, lying.hint, good.hint])),
      ]);
      expectEnd(byItsId, 'wrong-key', 4);
      expectEnd(inItsPlace, 'not-found', 3);
      expect(beside.code, beside.stdout.toString()).to.equal(0);
    }).timeout(30_000);
  }

  it('a share block with another owner may be left at a relay, which has no key, and is refused there too', async () => {
    const relay = await Relay.start({ home: stage.path('relay') });
    stops.push(() => relay.stop());
    const owner = await Owner.start();
    stops.push(() => owner.stop());
    const root = encode({ ...decode<Fields>(share.root), owner: newOwner() });
    const forged = { ...share, id: dagCid(root), root };
    expect((await owner.keep(relay.hint, forged))?.header['type']).to.equal('receipt');
    const [byItsId, byTheRight] = await Promise.all([
      fetchOf(linkOf(forged, [relay.hint])),
      fetchOf(linkOf(share, [relay.hint])),
    ]);
    expectEnd(byItsId, 'wrong-key', 4);
    expectEnd(byTheRight, 'not-found', 3);
  }).timeout(30_000);

  describe('a grant', () => {
    let recipient = '';
    let identity = '';

    before(async () => {
      const secret = await generateX25519Identity();
      recipient = await identityToRecipient(secret);
      identity = stage.path('identity.txt');
      await writeFile(identity, `${secret}\n`, { mode: 0o600 });
    });

    /** `K || binary share id || owner || uint64(expires)`, sealed (format.md §7). */
    const sealedFor = (key: Uint8Array, id: CID, owner: Uint8Array, expires = 0): Promise<Uint8Array> => {
      const end = Buffer.alloc(8);
      end.writeBigUInt64BE(BigInt(expires));
      const encrypter = new Encrypter();
      encrypter.addRecipient(recipient);
      return encrypter.encrypt(Buffer.concat([key, id.bytes, owner, end]));
    };
    const grantOf = (fields: Fields): Grant => {
      const block = encode({ type: 'grant', version: 1, ...fields });
      return { id: dagCid(block), block };
    };
    /** As whoever may read the share makes it. */
    const rightFields = async (of = share, key = of.key): Promise<Fields> => {
      const owner = newOwner();
      return { share: of.id, owner, sealed: await sealedFor(key, of.id, owner, END), expires: END };
    };

    /** Says `given` to who asks by the id of `asked`, and serves the share. */
    const granting = (asked: Grant, given = asked): Behaviour => {
      return async talk => {
        const hello = await talk.wire.next();
        if (hello === undefined) return;
        const isByGrant = isHello(hello, asked.id, talk.wire, talk.peer.node.peerId);
        if (isByGrant) await talk.wire.say({ type: 'grant' }, given.block);
        else if (!isHello(hello, share.id, talk.wire, talk.peer.node.peerId)) {
          await talk.wire.say({ type: 'refuse', reason: 'unknown' });
          await talk.wire.close();
          return;
        }
        await talk.wire.say({ type: 'hello', have: 'all', credit: 4 * 2 ** 20 }, talk.share.root);
        await answer(talk, (wanted, chunk) => talk.wire.say({ type: 'block', ...wanted }, chunk));
      };
    };

    const fetchBy = async (asked: Grant, given = asked, ...others: Server[]): Promise<Ended> => {
      const { hint } = await start(share, granting(asked, given));
      const hints = [hint, ...others.map(one => one.hint)];
      return await fetchOf(`shoal:${asked.id.toString()}@${hints.join(',')}`, '--identity', identity);
    };

    it('as it was made opens the share', async () => {
      const ended = await fetchBy(grantOf(await rightFields()));
      expect(ended.code, ended.stdout.toString()).to.equal(0);
    });

    /** What a carrier makes of a grant, and what a stranger makes who has no key of the share. */
    const forgeries: Readonly<Record<string, () => Promise<Fields>>> = {
      'has another owner': async () => ({ ...(await rightFields()), owner: newOwner() }),
      'has lost its end': async () => {
        const { share: id, owner, sealed } = await rightFields();
        return { share: id, owner, sealed };
      },
      'ends later': async () => ({ ...(await rightFields()), expires: END + HOUR }),
      'is for another share': async () => ({ ...(await rightFields(other)), share: share.id }),
      "has another grant's sealed part": async () => {
        const [one, another] = [await rightFields(), await rightFields()];
        return { ...one, sealed: another['sealed'] };
      },
    };
    for (const [what, make] of Object.entries(forgeries)) {
      it(`is refused when it ${what}`, async () => {
        expectEnd(await fetchBy(grantOf(await make())), 'malformed', 1);
      });
    }

    it('is refused when a stranger has made it, with a key that is not that of the share', async () => {
      expectEnd(await fetchBy(grantOf(await rightFields(share, randomBytes(32)))), 'wrong-key', 4);
    });

    it('is not taken for another one under whose id it is given, and keeps nobody from that', async () => {
      const right = grantOf(await rightFields());
      const forged = grantOf(await rightFields());
      expectEnd(await fetchBy(right, forged), 'not-found', 3);
      const good = await start(share, granting(right));
      expect((await fetchBy(right, forged, good)).code).to.equal(0);
    }).timeout(30_000);
  });
});
