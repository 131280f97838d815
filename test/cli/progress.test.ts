import { expect } from 'chai';
import fc from 'fast-check';
import { widthOf } from '../../cli/columns.ts';
import { Drawing, Rate, readingLine, transferLine, type Transfer } from '../../cli/progress.ts';
import { Terminal } from '../../cli/terminal.ts';
import { Screen } from './world.ts';

const MOVING: Transfer = {
  name: '東京の写真-2026.tar',
  doneBytes: 1_234_000_000,
  totalBytes: 2_700_000_000,
  bytesPerSecond: 34_500_000,
  stands: false,
  peers: 3,
};

describe('Progress', () => {
  it('says all there is to say on a wide terminal', () => {
    expect(transferLine(MOVING, 200)).to.equal(
      '東京の写真-2026.tar  45%  1.2 GB of 2.7 GB  34.5 MB/s  0:42 left  from 3 peers',
    );
  });

  it('says what matters most on a narrow one', () => {
    expect(transferLine(MOVING, 40)).to.equal('45%  1.2 GB of 2.7 GB  34.5 MB/s');
    expect(transferLine(MOVING, 60)).to.equal('東京の…2026.tar  45%  1.2 GB of 2.7 GB  34.5 MB/s  0:42 left');
    expect(transferLine(MOVING, 8)).to.equal('45%');
  });

  it('says what it waits for when nothing moves, as much of it as fits', () => {
    const waitingFor = 'looking for peers: asked 2 peers on the local network and the DHT (12 nodes)';
    const standing = { ...MOVING, stands: true, waitingFor };
    expect(transferLine(standing, 200)).to.equal(`東京の写真-2026.tar  45%  ${waitingFor}  1.2 GB of 2.7 GB`);
    expect(transferLine(standing, 40)).to.equal('45%  looking for peers: asked 2 peers o…');
  });

  it('says how much has come where nobody knows how much will', () => {
    const reading = { name: 'reading db.sql', doneBytes: 1_234_000_000, bytesPerSecond: 34_500_000, stands: false };
    expect(readingLine(reading, 200)).to.equal('reading db.sql  1.2 GB  34.5 MB/s');
    expect(readingLine({ ...reading, stands: true }, 200)).to.equal('reading db.sql  1.2 GB  waiting for more');
    expect(readingLine(reading, 10)).to.equal('1.2 GB');
  });

  it('never promises a time while it has no speed, and is complete for nothing', () => {
    expect(transferLine({ ...MOVING, bytesPerSecond: 0 }, 200)).not.to.contain('left');
    expect(transferLine({ ...MOVING, doneBytes: 0, totalBytes: 0 }, 200)).to.contain('100%');
  });

  it('does not say 100% before the end', () => {
    expect(transferLine({ ...MOVING, doneBytes: MOVING.totalBytes - 1 }, 200)).to.contain(' 99%');
  });

  it('is never wider than the terminal', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '東', '🐟', '\u001b'), maxLength: 40 });
    fc.assert(
      fc.property(name, fc.boolean(), fc.integer({ min: 1, max: 120 }), (given, stands, columns) => {
        expect(widthOf(transferLine({ ...MOVING, name: given, stands }, columns))).to.be.at.most(columns);
      }),
    );
  });

  it('knows the speed from the first sample on, and follows changes without jumping', () => {
    const rate = new Rate();
    // An earlier run's bytes are where counting begins.
    rate.sample(5_000_000, 1000);
    expect(rate.perSecond()).to.equal(0);
    for (let n = 1; n <= 10; n++) rate.sample(5_000_000 + n * 200_000, 1000 + n * 200);
    expect(rate.perSecond()).to.be.closeTo(1_000_000, 1);
    rate.sample(7_000_000, 3200);
    expect(rate.perSecond()).to.be.within(800_000, 999_999);
    expect(rate.stands(3200)).to.equal(false);
    rate.sample(7_000_000, 6000);
    expect(rate.stands(6000)).to.equal(true);
  });

  const drawing = (columns?: number) => {
    const stderr = new Screen(columns);
    const terminal = new Terminal({ stdout: new Screen(), stderr, env: {}, json: false, quiet: false });
    let text = '';
    const it = new Drawing(terminal, () => text, 0);
    const tick = (nowMs: number, line: string): void => {
      text = line;
      it.tick(nowMs);
    };
    return { stderr, tick };
  };

  it('is a plain line now and then without a terminal, and none for quick work', () => {
    const { stderr, tick } = drawing();
    tick(200, '1%');
    tick(1999, '2%');
    expect(stderr.lines).to.deep.equal([]);
    tick(2000, '3%');
    tick(2200, '4%');
    tick(7000, '5%');
    tick(12_000, '5%');
    tick(12_200, '6%');
    tick(17_200, '');
    expect(stderr.lines).to.deep.equal(['3%', '5%', '6%']);
  });

  it('is drawn at once on a terminal', () => {
    const { stderr, tick } = drawing(80);
    tick(200, '1%');
    tick(400, '2%');
    expect(stderr.text).to.equal('\r\u001b[K1%\r\u001b[K2%');
  });
});
