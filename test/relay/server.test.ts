/** A relay made of all its parts, on loopback. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { RunningRelay } from '../../relay/commands/run.ts';
import { readRelayConfig, type RelayConfig } from '../../relay/config.ts';
import { makeRelayFolder } from '../../relay/folder.ts';
import { startRelay } from '../../relay/server.ts';
import { TokenList } from '../../relay/token-list.ts';
import { nodeCrypto } from '../../src/crypto/node.ts';
import { createNetwork } from '../../src/net/node.ts';
import { fetchRelayInfo } from '../../src/net/relay-info.ts';
import type { Candidate, ChunkStore, Network } from '../../src/ports.ts';
import { present } from '../../src/present.ts';
import { sample } from '../../src/sample.ts';
import { Server } from '../../src/serve.ts';
import { memoryStore } from '../../src/store/memory.ts';
import { upload } from '../../src/upload.ts';
import { blockOf, makeShare, type TestShare } from '../contract/chunk-source.ts';
import { failureOf } from '../contract/crypto.ts';
import { systemClock } from '../net/harness.ts';
import { storeOf } from '../verbs/world.ts';

const DAY = 86_400;

describe('a relay with all its parts', () => {
  let data: string;
  let share: TestShare;
  let relay: RunningRelay | undefined;
  let networks: Network[];

  before(async () => {
    share = await makeShare('film', { film: randomBytes(3_000_000) });
  });
  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), 'shoal-relay-'));
    networks = [];
  });
  afterEach(async () => {
    await Promise.all(networks.map(network => network.stop()));
    await relay?.stop();
    relay = undefined;
    rmSync(data, { recursive: true });
  });

  function configOf(more = ''): RelayConfig {
    const base = `
      relay.lan = true
      network.listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]
      http.listen = "127.0.0.1:0"
      log.level = "error"
    `;
    const reading = readRelayConfig(`${base}\n${more}`);
    if (reading.problems !== undefined) throw new Error(JSON.stringify(reading.problems));
    return reading.value;
  }

  async function start(more?: string): Promise<Status> {
    const folder = await makeRelayFolder(data, randomBytes);
    const place = { configPath: join(data, 'config.toml'), dataFolder: data };
    relay = await startRelay({ config: configOf(more), place, folder });
    return await status();
  }

  interface Status {
    readonly peer: string;
    readonly addresses: readonly string[];
    readonly http?: string;
    readonly leases?: number;
    readonly reservations?: number;
  }

  /** What the admin listener says. */
  async function admin(path: string): Promise<{ status: number | undefined; body: string }> {
    const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      request({ socketPath: join(data, 'admin.sock'), path, agent: false }, resolve)
        .on('error', reject)
        .end();
    });
    return { status: response.statusCode, body: await text(response) };
  }

  const status = async (): Promise<Status> => JSON.parse((await admin('/status')).body) as Status;

  async function node(listen: readonly string[] = ['/ip4/127.0.0.1/tcp/0']): Promise<Network> {
    const network = await createNetwork({
      ...{ seed: randomBytes(32), listen, bootstrap: [], mdns: false, dht: 'off', clock: systemClock },
      log: () => undefined,
    });
    networks.push(network);
    return network;
  }

  const candidate = ({ peer, addresses }: Status): Candidate => ({ peer, addresses, via: 'hint' });

  async function leave(at: Status, until = Math.floor(Date.now() / 1000) + 365 * DAY, token?: string) {
    const sharer = await node();
    const store: ChunkStore = await storeOf(share);
    const log = (): void => undefined;
    const server = await Server.start({
      ...{ network: sharer, source: store, refusals: { for: () => undefined }, clock: systemClock, log },
    });
    server.add(share.id);
    const never = new AbortController().signal;
    if (token !== undefined) await present(sharer, candidate(at), token, systemClock, never);
    const request = { relay: candidate(at), id: share.id, block: blockOf(share), until };
    return await upload({ network: sharer, clock: systemClock }, request, () => undefined, never);
  }

  async function taken(at: Status): Promise<number> {
    const deps = { network: await node([]), crypto: nodeCrypto(), clock: systemClock, random: randomBytes };
    const from = candidate(at);
    const store = memoryStore();
    return (await sample({ ...deps, store }, { id: share.id, from }, new AbortController().signal)).sampled;
  }

  it('tells what it is over HTTP, and keeps and gives shares over TCP and WebSockets', async () => {
    const at = await start('relay.name = "a relay of a test"');
    const info = await fetchRelayInfo(at.http ?? '', { stranger: false });
    expect(info).to.deep.include({ name: 'a relay of a test', peer: at.peer });
    expect([...info.addresses]).to.have.members([...at.addresses]);
    await leave(at);
    const tcp = at.addresses.filter(address => !address.includes('/ws'));
    const ws = at.addresses.filter(address => address.includes('/ws'));
    for (const addresses of [tcp, ws]) {
      expect(addresses).to.have.length(1);
      expect(await taken({ ...at, addresses })).to.equal(share.listing.count('data'));
    }
    expect((await status()).leases).to.equal(1);
  });

  it('knows what it keeps when it is started again, on the same key', async () => {
    const at = await start();
    await leave(at);
    await relay?.stop();
    const again = await start();
    expect(again.peer).to.equal(at.peer);
    expect(await taken(again)).to.equal(share.listing.count('data'));
  });

  it('gives who presents a token the quotas of that', async () => {
    const at = await start('tiers.anonymous.lease_time = "7 days"\ntiers.token.lease_time = "90 days"');
    const folder = await makeRelayFolder(data, randomBytes);
    const tokens = new TokenList(data, folder.seed);
    const now = Math.floor(Date.now() / 1000);
    const token = tokens.create({ until: now + DAY }, now, randomBytes);
    tokens.close();
    const { until } = await leave(at, undefined, token);
    expect(until).to.be.within(now + 90 * DAY - 1, now + 90 * DAY + 100);
  });

  it('does nothing of what is switched off', async () => {
    const at = await start(
      ['dht', 'circuit', 'autonat', 'store', 'http'].map(role => `roles.${role} = false`).join('\n'),
    );
    expect(at).not.to.have.any.keys('http', 'leases', 'reservations', 'dhtPeers');
    expect(await failureOf(leave(at))).to.include({ code: 'protocol' });
    const client = await node();
    client.reserve({ peer: at.peer, addresses: at.addresses });
    await client.settled(new AbortController().signal);
    expect(client.reservations().map(({ state }) => state)).to.deep.equal(['trying']);
  });

  it('takes over new limits without being started again, and says what needs that', async () => {
    const at = await start();
    expect(await relay?.reload(configOf('limits.uploads = 0\nnetwork.bootstrap = []'))).to.deep.equal([]);
    expect((await failureOf(leave(at))).message).to.include('0 uploads at once of this relay');
    expect(await relay?.reload(configOf('roles.dht = false'))).to.deep.equal(['roles.dht']);
    await leave(at);
  });

  it('counts what it does and denies', async () => {
    const at = await start('limits.prefix.uploads = 1');
    await leave(at);
    await relay?.reload(configOf('limits.prefix.uploads = 0'));
    await leave(at).catch(() => undefined);
    const metrics = (await admin('/metrics')).body;
    expect(metrics).to.match(/^shoal_relay_uploads_total\{result="kept"\} 1$/m);
    expect(metrics).to.match(/^shoal_relay_leases 1$/m);
    expect(metrics).to.match(/^shoal_relay_received_bytes_total [1-9]/m);
  });

  it('is ready while it runs, and lives', async () => {
    await start();
    expect((await admin('/readyz')).status).to.equal(200);
    expect((await admin('/livez')).status).to.equal(200);
  });

  it('lets uploads end before it stops, and takes no others', async () => {
    const at = await start();
    const sharer = await node();
    const gate = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    const store = await storeOf(share);
    const source: ChunkStore = {
      ...store,
      read: async (id, address, signal) => {
        if (address.kind === 'chunk' && address.stream === 'data') {
          begun.resolve(undefined);
          await gate.promise;
        }
        return await store.read(id, address, signal);
      },
    };
    const log = (): void => undefined;
    const deps = { network: sharer, source, refusals: { for: () => undefined }, clock: systemClock, log };
    const server = await Server.start(deps);
    server.add(share.id);
    const request = {
      relay: candidate(at),
      id: share.id,
      block: blockOf(share),
      until: Math.floor(Date.now() / 1000) + DAY,
    };
    const never = new AbortController().signal;
    const uploading = upload({ network: sharer, clock: systemClock }, request, () => undefined, never);
    await begun.promise;
    const stopping = relay?.stop();
    expect((await admin('/readyz')).status).to.equal(503);
    gate.resolve(undefined);
    expect(await uploading).to.have.property('until');
    await stopping;
    relay = undefined;
  });

  it('leaves nothing behind when it can not be started', async () => {
    const folder = await makeRelayFolder(data, randomBytes);
    const place = { configPath: join(data, 'config.toml'), dataFolder: data };
    const config = configOf('admin.listen = "/nowhere/at/all.sock"');
    expect(await failureOf(startRelay({ config, place, folder }))).to.have.property('code');
    expect(readdirSync(data)).not.to.include('admin.sock');
    const at = await start();
    expect(at.peer).to.be.a('string');
  });
});
