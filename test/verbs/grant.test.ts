/** Grants: made beside a share, given with it, and what a link without a key turns out to name. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { expect } from 'chai';
import type { Catalog } from '../../src/catalog.ts';
import type { ShoalError } from '../../src/errors.ts';
import { decodeGrant, encodeGrant } from '../../src/format/grant.ts';
import { openGrant } from '../../src/format/grant-seal.ts';
import { fileKey } from '../../src/format/keys.ts';
import { ownerOf } from '../../src/format/share-block.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { grant, type GrantRequest } from '../../src/grant.ts';
import { resolve, type Resolved } from '../../src/resolve.ts';
import { Server } from '../../src/serve.ts';
import type { Refusal } from '../../src/ports.ts';
import { openCatalog } from '../../src/store/catalog.ts';
import { makeShare, withdrawalOf, type TestShare } from '../contract/chunk-source.ts';
import { failureOf } from '../format/failure.ts';
import type { SimNode } from '../sim/network.ts';
import { actor, fetchAll, newWorld, outputOf, say, seeder, storeOf, type World } from './world.ts';

const never = new AbortController().signal;
const CONTENT = randomBytes(50_000);

describe('grants', () => {
  let folder: string;
  let world: World;
  let share: TestShare;
  let catalog: Catalog;
  let reader: { readonly identity: string; readonly recipient: string };

  before(async () => {
    share = await makeShare('file', { file: CONTENT });
    const identity = await generateX25519Identity();
    reader = { identity, recipient: await identityToRecipient(identity) };
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-grant-'));
    world = newWorld();
    catalog = await openCatalog(join(folder, 'catalog.sqlite'), {
      secret: randomBytes(32),
      random: randomBytes,
      clock: world.clock,
    });
    addShare({ key: share.key });
  });
  afterEach(async () => {
    catalog.close();
    await rm(folder, { recursive: true });
  });

  function addShare(secrets: { readonly key?: Uint8Array }): void {
    const counts = { sizeBytes: CONTENT.length, files: 1 };
    const record = { id: share.id, kind: 'file', name: 'file', source: 'copy', hints: [], createdAt: 1 } as const;
    catalog.add({ ...record, ...counts, serveAlways: false }, secrets);
  }

  const deps = (): Parameters<typeof grant>[0] => ({
    catalog,
    crypto: world.crypto,
    random: randomBytes,
    clock: world.clock,
  });
  async function make(request: Partial<GrantRequest> = {}): Promise<BlockId> {
    const to = { recipients: [reader.recipient] };
    return await grant(deps(), { share: share.id, to, madeFor: ['Ann'], ...request });
  }

  /** A node that has the share, with the grants of the catalog, and announces all of them. */
  async function sharer(refusalOf: (id: BlockId) => Refusal | undefined = () => undefined): Promise<Server> {
    const server = await Server.start({
      network: world.network.node('sharer'),
      source: await storeOf(share),
      refusals: { for: refusalOf },
      grantOf: id => {
        const found = catalog.grants.get(id);
        return found && { share: found.share, bytes: found.block };
      },
      clock: world.clock,
      log: () => undefined,
    });
    for (const id of [share.id, ...catalog.grants.list().map(one => one.id)]) server.add(id);
    return server;
  }

  /** What becomes of asking for an id. */
  async function ask(id: BlockId, node: SimNode = world.network.node('reader')): Promise<Resolved | ShoalError> {
    const request = { id, hints: [], timeoutMs: 20_000 };
    const asking = resolve(
      { network: node, crypto: world.crypto, clock: world.clock },
      request,
      () => undefined,
      never,
    );
    return await world.clock.run(asking.catch((error: unknown) => error as ShoalError));
  }

  it('lead from a link without a key to the share, for who has an identity that they were made for', async () => {
    const id = await make();
    await sharer();
    const resolved = (await ask(id)) as Resolved;
    expect([resolved.share, resolved.grant?.id]).to.deep.equal([share.id, id]);
    const key = await openGrant(decodeGrant(resolved.grant?.block ?? new Uint8Array()), {
      identities: [reader.identity],
    });
    const { disk, failure } = await fetchAll(world, { id: resolved.share, key });
    expect(failure).to.equal(undefined);
    expect(Buffer.from(outputOf(disk)['file'] ?? []).equals(CONTENT)).to.equal(true);
  });

  it('are noted with whom they are for and until when, and have owners of their own', async () => {
    const expires = 3600 * 500_000;
    const ids = [await make({ expires }), await make({ madeFor: ['Bob', 'Cat'] })] as const;
    expect(catalog.grants.list(share.id).map(one => [one.id, one.madeFor, one.expires, one.isOwn])).to.deep.equal([
      [ids[0], ['Ann'], expires, true],
      [ids[1], ['Bob', 'Cat'], undefined, true],
    ]);
    const owners = ids.map(id => {
      const seed = catalog.grants.ownerSeedOf(id) ?? new Uint8Array();
      const { owner } = decodeGrant(catalog.grants.get(id)?.block ?? new Uint8Array());
      expect(Buffer.from(ownerOf(seed)).equals(owner)).to.equal(true);
      return Buffer.from(owner).toString('hex');
    });
    expect(new Set(owners).size).to.equal(2);
  });

  it('are made for passphrases too, and not by who has no key of the share', async () => {
    const id = await make({ to: { passphrase: 'five quite ordinary words' } });
    const made = decodeGrant(catalog.grants.get(id)?.block ?? new Uint8Array());
    const key = await openGrant(made, { passphrase: 'five quite ordinary words' });
    expect(Buffer.from(key).equals(share.key)).to.equal(true);
    catalog.remove(share.id);
    addShare({});
    expect((await failureOf(() => make())).code).to.equal('key-missing');
    expect(catalog.grants.list()).to.deep.equal([]);
  }).timeout(20_000);

  it('are told apart from shares by those who have them', async () => {
    await sharer();
    expect(await ask(share.id)).to.deep.equal({ share: share.id });
    expect(await ask(await make())).to.include({ code: 'not-found' });
  });

  it('are not given where the gate refuses them', async () => {
    const id = await make();
    let isOver = false;
    await sharer(asked => (isOver && asked === id ? { reason: 'expired', until: 3600 } : undefined));
    isOver = true;
    expect(await ask(id)).to.include({ code: 'refused' });
  });

  it('lead to a share that is refused, so that it can be checked why', async () => {
    const id = await make();
    let isOver = false;
    const withdrawal = withdrawalOf(share);
    await sharer(asked => (isOver && asked === share.id ? { reason: 'withdrawn', withdrawal } : undefined));
    isOver = true;
    expect(((await ask(id)) as Resolved).share).to.equal(share.id);
    const { failure } = await fetchAll(world, share);
    expect(failure?.code).to.equal('refused');
    expect(failure?.message).to.include('withdrawn by the sharer on');
  });

  it('are looked for elsewhere where somebody gives another block in their place', async () => {
    const id = await make();
    const real = decodeGrant(catalog.grants.get(id)?.block ?? new Uint8Array());
    const forged = encodeGrant({ ...real, owner: ownerOf(randomBytes(32)) });
    await actor(world, 'liar', id, async (channel, frames) => {
      await frames.next();
      await say(channel, { type: 'grant' }, forged.bytes);
    });
    await sharer();
    const resolved = (await ask(id)) as Resolved;
    expect(Buffer.from(resolved.grant?.block ?? []).equals(catalog.grants.get(id)?.block ?? new Uint8Array())).to.equal(
      true,
    );
  });

  it('are no share to be fetched: a link that gives one of them a key is wrong', async () => {
    const id = await make();
    await sharer();
    const { failure } = await fetchAll(world, { id, key: fileKey(randomBytes(32)) });
    expect(failure).to.include({ code: 'bad-link' });
  });

  it('need not be known to who has the share, who says that of an unknown one', async () => {
    const id = await make();
    const { node } = await seeder(world, 'carrier', share.id, await storeOf(share));
    node.announce(id);
    expect(await ask(id)).to.include({ code: 'not-found' });
  });
});
