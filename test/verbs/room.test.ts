/** What goes first when room is needed, and what never goes. */
import { expect } from 'chai';
import type { ShareRecord } from '../../src/catalog.ts';
import { ShoalError } from '../../src/errors.ts';
import type { BlockId } from '../../src/format/ids.ts';
import { LOOK_AGE_MS } from '../../src/limits.ts';
import { makeRoom, type Dropped } from '../../src/room.ts';
import { someRecord } from '../contract/catalog.ts';

const NOW = 1_800_000_000;
const never = new AbortController().signal;
const id = (name: string): BlockId => name as BlockId;

/** One that is carried, and was looked at just now. */
function carried(name: string, copiesElsewhere: number | undefined, more: Partial<ShareRecord> = {}): ShareRecord {
  return {
    ...someRecord({ id: id(name), source: 'imported' }),
    state: 'ready',
    hasKey: false,
    bytesUp: 0,
    peersServed: 0,
    ...(copiesElsewhere === undefined ? {} : { copiesElsewhere, lookedAt: NOW }),
    ...more,
  };
}

interface Home {
  readonly records: ShareRecord[];
  readonly asked?: readonly string[];
  readonly inUse?: readonly string[];
  /** What a look finds; without it nobody can be asked. */
  readonly found?: Readonly<Record<string, number>>;
}

/** Makes room in a home where each share has ten bytes. */
async function make(home: Home, neededBytes: number): Promise<{ dropped: string[]; looked: string[] }> {
  const records = new Map(home.records.map(record => [record.id, record]));
  const dropped: Dropped[] = [];
  const looked: string[] = [];
  const { found } = home;
  await makeRoom(
    {
      catalog: { list: () => [...records.values()], get: one => records.get(one) },
      clock: { now: () => NOW * 1000 },
      bytesOf: one => Promise.resolve(records.has(one) ? 10 : 0),
      isAskedFor: one => home.asked?.includes(one) === true,
      look:
        found &&
        (async one => {
          looked.push(one);
          const copiesElsewhere = found[one] ?? 0;
          const record = records.get(one);
          if (record !== undefined) records.set(one, { ...record, copiesElsewhere, lookedAt: NOW });
          return Promise.resolve(copiesElsewhere);
        }),
      drop: one => {
        if (home.inUse?.includes(one) === true) return Promise.reject(new ShoalError('in-use', 'it is being fetched'));
        records.delete(one);
        return Promise.resolve();
      },
      onDropped: one => dropped.push(one),
    },
    neededBytes,
    id('wanted'),
    never,
  );
  return { dropped: dropped.map(one => one.id), looked };
}

describe('making room', () => {
  it('drops what others have most copies of, and of these what was asked for least', async () => {
    const records = [
      carried('two', 2),
      carried('five', 5, { bytesUp: 7 }),
      carried('also five', 5),
      carried('three', 3),
    ];
    expect((await make({ records }, 40)).dropped).to.deep.equal(['also five', 'five', 'three', 'two']);
    expect((await make({ records }, 1)).dropped).to.deep.equal(['also five']);
    expect((await make({ records }, 25)).dropped).to.deep.equal(['also five', 'five', 'three']);
  });

  it('never drops what nobody else has, what the user made, has a key for or keeps, and what a command asks for', async () => {
    const records = [
      carried('last', 0),
      carried('unknown', undefined),
      carried('own', 9, { source: 'copy' }),
      carried('kept', 9, { source: 'fetched' }),
      carried('original', 9, { source: 'original' }),
      carried('with a key', 9, { hasKey: true }),
      carried('asked for', 9),
      carried('wanted', 9),
    ];
    expect((await make({ records, asked: ['asked for'] }, 1)).dropped).to.deep.equal([]);
  });

  it('drops nothing where that would not be enough', async () => {
    expect((await make({ records: [carried('two', 2), carried('three', 3)] }, 21)).dropped).to.deep.equal([]);
  });

  it('looks first where what is known is older than a day, and believes what it finds', async () => {
    const old = { lookedAt: NOW - LOOK_AGE_MS / 1000 - 1 };
    const records = [carried('gone', 8, old), carried('more', 2, old), carried('three', 3), carried('new', undefined)];
    const { dropped, looked } = await make({ records, found: { gone: 0, more: 6, new: 4 } }, 11);
    expect(looked.toSorted()).to.deep.equal(['gone', 'more', 'new']);
    expect(dropped).to.deep.equal(['more', 'new']);
  });

  it('drops nothing by old knowledge where nobody can be asked', async () => {
    const records = [carried('old', 8, { lookedAt: NOW - LOOK_AGE_MS / 1000 - 1 }), carried('two', 2)];
    expect((await make({ records }, 10)).dropped).to.deep.equal(['two']);
    expect((await make({ records }, 11)).dropped).to.deep.equal([]);
  });

  it('looks again right before it drops what only one other has, and leaves that where it has gone', async () => {
    const records = [carried('gone', 1), carried('there', 1, { bytesUp: 5 })];
    const { dropped, looked } = await make({ records, found: { there: 1 } }, 10);
    expect(looked).to.deep.equal(['gone', 'there']);
    expect(dropped).to.deep.equal(['there']);
    expect((await make({ records }, 10)).dropped, 'where nobody can be asked').to.deep.equal([]);
  });

  it('passes over what something else is at work on', async () => {
    const records = [carried('busy', 9), carried('four', 4), carried('three', 3)];
    expect((await make({ records, inUse: ['busy'] }, 20)).dropped).to.deep.equal(['four', 'three']);
  });
});
