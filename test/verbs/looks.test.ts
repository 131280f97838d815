/** Looking for copies elsewhere of what is carried: who counts, and when it is looked. */
import { expect } from 'chai';
import type { CopyRecord, ShareRecord } from '../../src/catalog.ts';
import { systemClock } from '../../src/clock.ts';
import { ShoalError } from '../../src/errors.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { Looks, type LooksDeps } from '../../src/looks.ts';
import type { Candidate } from '../../src/ports.ts';
import type { Sample } from '../../src/sample.ts';
import { someRecord } from '../contract/catalog.ts';

const ID = 'share' as BlockId;
const never = new AbortController().signal;
const NOW = Math.floor(Date.now() / 1000);

describe('looking for copies elsewhere', () => {
  /** Peers by name, and what comes of asking them. */
  type Peers = Readonly<Record<string, Sample | ShoalError>>;
  const all: Sample = { chunks: 9, has: 9, sampled: 3 };

  const carried: ShareRecord = {
    ...someRecord({ id: ID, source: 'imported' }),
    hints: [],
    state: 'ready',
    hasKey: false,
    bytesUp: 0,
    peersServed: 0,
  };

  function looksAt(peers: Peers, more: { records?: ShareRecord[]; copies?: CopyRecord[] } = {}) {
    const noted: { id: string; copies: number }[] = [];
    const { promise: wasNoted, resolve } = Promise.withResolvers<undefined>();
    const records = more.records ?? [carried];
    const relays = (more.copies ?? []).map(({ relay }) => ({ peer: relay, addresses: [], always: true, addedAt: 1 }));
    const looks = new Looks({
      network: {
        self: 'self',
        status: () => ({}) as ReturnType<LooksDeps['network']['status']>,
        async *find(): AsyncGenerator<Candidate> {
          await Promise.resolve();
          for (const peer of ['self', ...Object.keys(peers)]) yield { peer, addresses: [], via: 'dht' };
        },
      },
      clock: systemClock,
      sample: (_id, { peer }) => {
        const outcome = peers[peer] ?? new ShoalError('not-found', 'nobody answers there');
        return outcome instanceof ShoalError ? Promise.reject(outcome) : Promise.resolve(outcome);
      },
      catalog: {
        list: () => records,
        get: id => records.find(record => record.id === id),
        copies: { list: () => more.copies ?? [] } as unknown as LooksDeps['catalog']['copies'],
        relays: { list: () => relays } as unknown as LooksDeps['catalog']['relays'],
        noteCopies: (id, copies) => {
          noted.push({ id, copies });
          resolve(undefined);
        },
      },
      log: () => undefined,
    });
    return { looks, noted, wasNoted };
  }

  it('counts who has all and has shown some of it, each once, and notes that', async () => {
    const peers = {
      one: all,
      two: all,
      part: { chunks: 9, has: 8, sampled: 0 },
      refuses: new ShoalError('unavailable', 'it does not give the share: busy'),
    };
    const { looks, noted } = looksAt(peers);
    const counts = await Promise.all([looks.look(ID, never), looks.look(ID, never)]);
    expect(counts).to.deep.equal([2, 2]);
    expect(noted, 'two who look at once share one look').to.deep.equal([{ id: ID, copies: 2 }]);
    await looks.stop();
  });

  it('counts a relay that has signed for it, also where that is out of reach, but not one that turns out to lack some', async () => {
    const copy = { share: ID, state: 'stored', checkedAt: NOW, until: NOW + 1000 } as const;
    const copies: CopyRecord[] = [
      { ...copy, relay: 'away' },
      { ...copy, relay: 'lacks' },
      { ...copy, relay: 'there' },
      { ...copy, relay: 'over', until: NOW - 1 },
      { share: ID, state: 'wanted', relay: 'wanted' },
    ];
    const { looks } = looksAt({ there: all, lacks: { chunks: 9, has: 1, sampled: 0 } }, { copies });
    expect(await looks.look(ID, never)).to.equal(2);
    await looks.stop();
  });

  it('looks by itself at what has just come, and only at what is carried without a key', async () => {
    const records: ShareRecord[] = [
      { ...carried, id: 'own' as BlockId, source: 'copy' },
      { ...carried, id: 'read' as BlockId, hasKey: true },
      { ...carried, id: 'looked at' as BlockId, copiesElsewhere: 1, lookedAt: NOW },
      carried,
    ];
    const { looks, noted, wasNoted } = looksAt({ one: all }, { records });
    looks.hurry();
    await wasNoted;
    expect(noted).to.deep.equal([{ id: ID, copies: 1 }]);
    await looks.stop();
  });
});
