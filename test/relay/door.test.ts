import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelayAdmission } from '../../relay/admission.ts';
import { readRelayConfig } from '../../relay/config.ts';
import { Door } from '../../relay/door.ts';
import { TokenList } from '../../relay/token-list.ts';
import { tokenIdIn, tokenText } from '../../relay/tokens.ts';
import { MAX_PRESENTING, PRESENT_TIMEOUT_MS, TOKEN_CHECK_MS, TOKENS_PER_MINUTE_PER_PREFIX } from '../../src/limits.ts';
import { present } from '../../src/present.ts';
import type { Candidate, Channel } from '../../src/ports.ts';
import { ADMISSION_PROTOCOL, decodeAdmissionAnswer, encodeAdmission } from '../../src/protocol/admission-messages.ts';
import { quiet, simClock } from '../sim/clock.ts';
import { simNetwork, type SimNode } from '../sim/network.ts';

const SEED = new Uint8Array(32).fill(7);

describe('The door of a relay', () => {
  let folder: string;
  let world: ReturnType<typeof openWorld>;

  function openWorld(config = '') {
    const reading = readRelayConfig(config);
    if (reading.problems !== undefined) throw new Error(JSON.stringify(reading.problems));
    const clock = simClock();
    const network = simNetwork(1, clock);
    const relay = network.node('relay');
    const peer = network.node('peer');
    const tokens = new TokenList(folder, SEED);
    const admission = new RelayAdmission({ config: reading.value, secret: SEED, clock });
    const logged: string[] = [];
    const log = (level: string, message: string): void => void logged.push(`${level}: ${message}`);
    let count = 0;
    const nowSeconds = (): number => clock.now() / 1000;
    return {
      clock,
      network,
      relay,
      peer,
      tokens,
      admission,
      logged,
      nowSeconds,
      candidate: { peer: relay.self, addresses: relay.addresses(), via: 'hint' } as Candidate,
      create: (seconds = 1000, quota: { storedBytes?: number; leaseSeconds?: number } = {}): string =>
        tokens.create({ until: nowSeconds() + seconds, ...quota }, nowSeconds(), length =>
          new Uint8Array(length).fill(++count),
        ),
      tierOf: (node: SimNode): string =>
        admission.quotasOf({ peer: node.self, address: node.addresses()[0] ?? '' }).tier,
      opened: Door.open({ network: relay, admission, tokens, clock, log }),
    };
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-door-'));
    world = openWorld();
  });
  afterEach(async () => {
    (await world.opened).close();
    world.tokens.close();
    await rm(folder, { recursive: true });
  });

  const ask = (token: string, node = world.peer, signal = new AbortController().signal) =>
    world.clock.run(present(node, world.candidate, token, world.clock, signal));

  /** What `work` fails with. */
  async function failure(work: Promise<unknown>): Promise<Error> {
    return await work.then(
      () => {
        throw new Error('it did not fail');
      },
      (error: unknown) => error as Error,
    );
  }

  it('lets a peer with a token into its tier, and tells what that gives', async () => {
    const token = world.create(1000, { storedBytes: 5e9 });
    expect(world.tierOf(world.peer)).to.equal('anonymous');
    expect(await ask(token)).to.deep.equal({
      type: 'admitted',
      tier: 'token',
      until: world.nowSeconds() + 1000,
      storedBytes: 5e9,
      leaseSeconds: 90 * 86_400,
    });
    expect(world.tierOf(world.peer)).to.equal('token');
  });

  it('lets it out when its last connection has closed', async () => {
    await ask(world.create());
    (await world.opened).gone(world.peer.self);
    expect(world.tierOf(world.peer)).to.equal('anonymous');
    expect(world.admission.held.size).to.equal(0);
  });

  it('does not let in who is gone before it is answered, as nobody would tell of that any more', async () => {
    const token = world.create();
    const channel = await world.peer.connect(world.candidate, ADMISSION_PROTOCOL, new AbortController().signal);
    const peers = world.relay.peers.bind(world.relay);
    world.relay.peers = () => peers().filter(({ peer }) => peer !== world.peer.self);
    await channel.send(encodeAdmission({ type: 'present', token }));
    const [answer] = await answersOn(channel);
    expect(answer).to.include({ type: 'refuse', reason: 'busy' });
    expect(world.admission.held.size).to.equal(0);
  });

  it('refuses each bad token for its reason', async () => {
    const revoked = world.create();
    world.tokens.revoke(tokenIdIn(revoked) ?? '', world.nowSeconds());
    const expiring = world.create(10);
    await world.clock.advance(10_000);
    const bad: Record<string, string> = {
      [expiring]: 'expired: it has expired',
      [revoked]: 'revoked: the relay has revoked it',
      [tokenText({ id: '0123456789abcdef', until: 9e9 }, new Uint8Array(32).fill(8))]:
        'bad-token: this relay has not signed it',
      x: 'bad-token: it can not be read',
    };
    for (const [token, why] of Object.entries(bad)) {
      const error = await failure(ask(token));
      expect(error).to.have.property('code', 'refused');
      expect(error.message).to.include(why);
      expect(error.message).not.to.include(token.slice(11, 60) || token.repeat(3));
    }
    expect(world.admission.held.size).to.equal(0);
  });

  it('lets holders out within seconds once their token was revoked, and no others', async () => {
    const [token, other] = [world.create(), world.create()];
    const second = world.network.node('second');
    await ask(token);
    await ask(other, second);
    world.tokens.revoke(tokenIdIn(token) ?? '', world.nowSeconds());
    expect(world.tierOf(world.peer)).to.equal('token');
    await world.clock.advance(TOKEN_CHECK_MS);
    expect([world.tierOf(world.peer), world.tierOf(second)]).to.deep.equal(['anonymous', 'token']);
    expect(world.logged).to.deep.equal(['info: tokens hold no more: they were revoked, or have expired']);
  });

  it('lets them out at once when it is told to look', async () => {
    const token = world.create();
    await ask(token);
    world.tokens.revoke(tokenIdIn(token) ?? '', world.nowSeconds());
    (await world.opened).check();
    expect(world.admission.held.size).to.equal(0);
  });

  it('forgets tokens that have expired', async () => {
    await ask(world.create(10));
    await world.clock.advance(10_000 + TOKEN_CHECK_MS);
    expect(world.admission.held.size).to.equal(0);
  });

  it('goes on looking where the list could not be read', async () => {
    const token = world.create();
    await ask(token);
    const isRevoked = world.tokens.isRevoked.bind(world.tokens);
    world.tokens.isRevoked = () => {
      throw new Error('no disk');
    };
    await world.clock.advance(TOKEN_CHECK_MS);
    expect(world.logged).to.have.lengthOf(1);
    expect(world.tierOf(world.peer)).to.equal('token');
    world.tokens.isRevoked = isRevoked;
    world.tokens.revoke(tokenIdIn(token) ?? '', world.nowSeconds());
    await world.clock.advance(TOKEN_CHECK_MS);
    expect(world.tierOf(world.peer)).to.equal('anonymous');
  });

  it('looks no more when it is closed', async () => {
    (await world.opened).close();
    await quiet();
    expect(world.clock.sleepers).to.equal(0);
  });

  it('is busy for who presents too many, and says when it is not', async () => {
    for (let n = 0; n < TOKENS_PER_MINUTE_PER_PREFIX; n++) await failure(ask('x'));
    const error = await failure(ask(world.create()));
    expect(error).to.have.property('code', 'unavailable');
    expect(error.message).to.match(
      /the relay is busy \(busy: 30 tokens a minute per address prefix\); try again in \d+ s$/,
    );
    await world.clock.advance(60_000);
    await ask(world.create());
  });

  it('ends a channel on which nothing is presented', async () => {
    const channel = await world.peer.connect(world.candidate, ADMISSION_PROTOCOL, new AbortController().signal);
    const answers = failure(answersOn(channel));
    await world.clock.advance(PRESENT_TIMEOUT_MS);
    expect(await answers).to.have.property('code', 'unavailable');
    expect(world.relay.open.size).to.equal(0);
  });

  it('ends a channel on which nonsense comes, and lets nobody in for it', async () => {
    const channel = await world.peer.connect(world.candidate, ADMISSION_PROTOCOL, new AbortController().signal);
    await channel.send(Uint8Array.of(1, 2, 3));
    expect(await failure(answersOn(channel))).to.have.property('code', 'unavailable');
    expect(world.admission.held.size).to.equal(0);
  });

  it('keeps no more channels than it has places, wherever they come from', async () => {
    const silent: Channel[] = [];
    // All of the simulation's nodes have addresses of one prefix.
    world.admission.present = () => undefined;
    for (let n = 0; n < MAX_PRESENTING; n++)
      silent.push(
        await world.network
          .node(`peer ${n}`)
          .connect(world.candidate, ADMISSION_PROTOCOL, new AbortController().signal),
      );
    expect((await failure(ask(world.create()))).message).to.include('the relay is busy');
    silent[0]?.abort(new Error('enough'));
    await quiet();
    expect(await ask(world.create())).to.have.property('tier', 'token');
  });

  it('is given up when it does not answer, or when who asks is stopped', async () => {
    world.network.fault(world.relay, world.peer, { stallAt: 0 });
    expect(await failure(ask(world.create()))).to.have.property('code', 'unavailable');
    world.network.fault(world.peer, world.relay, { hang: true });
    expect((await failure(ask(world.create()))).message).to.include('the relay did not answer');
    world.network.fault(world.peer, world.relay, {});
    const stop = new AbortController();
    const asked = failure(present(world.peer, world.candidate, world.create(), world.clock, stop.signal));
    await quiet();
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await asked).to.equal(reason);
    world.network.fault(world.peer, world.relay, { hang: true });
    const early = new AbortController();
    const dialling = failure(present(world.peer, world.candidate, world.create(), world.clock, early.signal));
    await quiet();
    early.abort(reason);
    expect(await dialling).to.equal(reason);
  });

  it('leaves no channel behind that was opened too late', async () => {
    const opened = Promise.withResolvers<Channel>();
    const network = Object.assign(Object.create(world.peer) as SimNode, { connect: () => opened.promise });
    const asked = failure(
      world.clock.run(present(network, world.candidate, 'x', world.clock, new AbortController().signal)),
    );
    expect((await asked).message).to.include('the relay did not answer');
    opened.resolve(await world.peer.connect(world.candidate, ADMISSION_PROTOCOL, new AbortController().signal));
    await quiet();
    expect(world.peer.open.size).to.equal(0);
  });

  async function answersOn(channel: Channel): Promise<unknown[]> {
    const answers: unknown[] = [];
    for await (const { header, body } of channel.frames()) answers.push(decodeAdmissionAnswer(header, body.length));
    return answers;
  }
});
