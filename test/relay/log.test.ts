import { expect } from 'chai';
import { relayLog } from '../../relay/log.ts';

/** A stream that keeps what is written. */
function memory(isTTY = false): {
  readonly lines: () => string[];
  readonly write: (text: string) => void;
  readonly isTTY: boolean;
} {
  let all = '';
  return { lines: () => all.split('\n').slice(0, -1), write: text => void (all += text), isTTY };
}
const NOON = new Date(2026, 0, 2, 12, 3, 4);

describe('the log of a relay', () => {
  it('is a JSON object a line', () => {
    const out = memory();
    const { log } = relayLog('debug', 'json', out, () => NOON.getTime());
    log('debug', 'a block was read', { sizeBytes: 7 });
    log('error', 'it failed\nthere');
    expect(out.lines().map(line => JSON.parse(line) as unknown)).to.deep.equal([
      { level: 'debug', time: NOON.toISOString(), sizeBytes: 7, message: 'a block was read' },
      { level: 'error', time: NOON.toISOString(), message: 'it failed\nthere' },
    ]);
  });

  it('is for people on a terminal', () => {
    const out = memory(true);
    const { log } = relayLog('info', 'json', out, () => NOON.getTime());
    log('info', 'the relay runs', { peers: 3 });
    log('warn', 'the disk is nearly full', { left: '1 GB' });
    expect(out.lines()).to.deep.equal([
      '12:03:04 the relay runs peers=3',
      '12:03:04 warn: the disk is nearly full left="1 GB"',
    ]);
  });

  it('begins at its level, which can be changed while it runs', () => {
    const out = memory();
    const { log, setLevel } = relayLog('warn', 'json', out);
    log('info', 'one');
    log('warn', 'two');
    setLevel('debug');
    log('debug', 'three');
    setLevel('error');
    log('warn', 'four');
    expect(out.lines().map(line => (JSON.parse(line) as { message: string }).message)).to.deep.equal(['two', 'three']);
  });

  for (const isTTY of [false, true]) {
    it(`has nothing that a terminal would act on, ${isTTY ? 'on one' : 'off one'}`, () => {
      const out = memory(isTTY);
      const { log } = relayLog('info', 'json', out);
      log('info', 'a\u001b[2Jb\u202e\u0085', { text: '\u001b]0;x\u0007\u2066\n' });
      const text = out.lines();
      expect(text).to.have.lengthOf(1);
      expect(text[0]).to.match(/^[ -~]*$/);
    });

    it(`does not write secrets that it is given, ${isTTY ? 'on a terminal' : 'off a terminal'}`, () => {
      const out = memory(isTTY);
      relayLog('info', 'json', out).log('info', 'started', {
        token: 'tok-123',
        key: new Uint8Array([1, 2, 3]),
        link: 'shoal:abc',
      });
      const [line = ''] = out.lines();
      expect(line).to.include('started').and.to.include('(secret)');
      for (const secret of ['tok-123', 'shoal:abc', '[1,2,3]', '"0":1']) expect(line).not.to.include(secret);
    });
  }

  it('is not stopped by a field that JSON has no words for', () => {
    const out = memory();
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    relayLog('info', 'json', out).log('info', 'odd', { circle, big: 7n, nothing: undefined });
    expect(JSON.parse(out.lines()[0] ?? '')).to.include({ message: 'odd' });
  });
});
