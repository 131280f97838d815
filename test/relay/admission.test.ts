import { expect } from 'chai';
import fc from 'fast-check';
import { RelayAdmission, type AdmissionConfig } from '../../relay/admission.ts';
import { readRelayConfig } from '../../relay/config.ts';
import { prefixesOf } from '../../relay/prefixes.ts';
import { TOKENS_PER_MINUTE_PER_PREFIX } from '../../src/limits.ts';
import type { Asker, Denied, Loan, Permit } from '../../src/protocol/admission.ts';
import { simClock, type SimClock } from '../sim/clock.ts';

const PEER = '12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w';
const LOANS: readonly Loan[] = ['connection', 'reservation', 'circuit', 'upload'];
const MANY = 'connections = 100000\nconnections_per_second = 1000000\n';

function configOf(text: string): AdmissionConfig {
  const reading = readRelayConfig(text);
  if (reading.problems === undefined) return reading.value;
  throw new Error(JSON.stringify(reading.problems));
}

/** An admission with a configuration, and the clock that it goes by. */
function admissionOf(text: string, clock: SimClock = simClock()): { admission: RelayAdmission; clock: SimClock } {
  return { admission: new RelayAdmission({ config: configOf(text), secret: new Uint8Array(32), clock }), clock };
}

function at(address: string, peer?: string): Asker {
  return { address, ...(peer === undefined ? {} : { peer }) };
}

function permit(answer: Permit | Denied): Permit {
  if ('denied' in answer) throw new Error(`denied: ${answer.denied}`);
  return answer;
}

function refusal(answer: Permit | Denied | undefined): Denied {
  if (answer === undefined || !('denied' in answer)) throw new Error('it was not denied');
  return answer;
}

describe('A prefix', () => {
  it('is an IPv4 /24, and an IPv6 /48 in its /32', () => {
    expect(prefixesOf('/ip4/192.0.2.77/tcp/1')).to.deep.equal({ near: '4:192.0.2' });
    const six = { near: '6:20010db80001', wide: '6:20010db8' };
    expect(prefixesOf('/ip6/2001:db8:1::5/tcp/1')).to.deep.equal(six);
    expect(prefixesOf('/ip6/2001:DB8:1:2:3:4:5:6/tcp/1')).to.deep.equal(six);
    expect(prefixesOf('/ip6zone/eth0/ip6/fe80::1/tcp/1')).to.deep.equal({ near: '6:fe8000000000', wide: '6:fe800000' });
    expect(prefixesOf('/ip6/::1/tcp/1')).to.deep.equal({ near: '6:000000000000', wide: '6:00000000' });
  });

  it('of an IPv4 address in IPv6 is that of the IPv4 address', () => {
    for (const mapped of ['::ffff:192.0.2.77', '::ffff:c000:24d', '0:0:0:0:0:ffff:c000:024d'])
      expect(prefixesOf(`/ip6/${mapped}/tcp/1`), mapped).to.deep.equal({ near: '4:192.0.2' });
  });

  it('of an address through a relay is that of the relay', () => {
    expect(prefixesOf(`/ip4/198.51.100.1/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}`)).to.deep.equal({
      near: '4:198.51.100',
    });
  });

  it('of everything else is one', () => {
    for (const other of [
      '',
      'x',
      '/dns4/relay.example/tcp/1',
      '/memory/1',
      '/ip4/1.2.3/tcp/1',
      '/ip4/1.2.3.256/tcp/1',
      '/ip6/1::2::3/tcp/1',
      '/ip6/1:2:3/tcp/1',
      '/ip6/1:2:3:4:5:6:7:8:9/tcp/1',
      '/ip6/12345::/tcp/1',
      `/p2p/${PEER}/p2p-circuit`,
    ])
      expect(prefixesOf(other), other).to.deep.equal({ near: 'other' });
  });

  it('is told of any text', () => {
    fc.assert(fc.property(fc.string(), text => typeof prefixesOf(`/ip6/${text}`).near === 'string'));
  });
});

describe('Admission', () => {
  it('lends no more at once than the relay, the prefix and the peer may have, and says which limit it was', () => {
    const { admission } = admissionOf(
      '[limits]\nreservations = 4\n[limits.prefix]\nreservations = 3\n[limits.peer]\nreservations = 2',
    );
    const ask = (address: string, peer: string) => admission.admit('reservation', at(address, peer));
    permit(ask('/ip4/192.0.2.1/tcp/1', 'a'));
    permit(ask('/ip4/192.0.2.1/tcp/1', 'a'));
    expect(refusal(ask('/ip4/192.0.2.1/tcp/1', 'a')).denied).to.equal('2 reservations at once per peer');
    permit(ask('/ip4/192.0.2.2/tcp/1', 'b'));
    expect(refusal(ask('/ip4/192.0.2.3/tcp/1', 'c')).denied).to.equal('3 reservations at once per address prefix');
    permit(ask('/ip4/198.51.100.1/tcp/1', 'd'));
    const last = refusal(ask('/ip4/203.0.113.1/tcp/1', 'e'));
    expect(last.denied).to.equal('4 reservations at once of this relay');
    expect(last.retryAfterSeconds).to.be.greaterThan(0);
  });

  it('counts the holders of one token together, besides all else', () => {
    const { admission, clock } = admissionOf('[tiers.token]\ncircuits = 2');
    const token = { id: 't', until: clock.now() / 1000 + 100 };
    for (const peer of ['a', 'b', 'c']) expect(admission.hold(peer, token)).to.equal(true);
    const ask = (peer: string, n: number) => admission.admit('circuit', at(`/ip4/10.0.${n}.1/tcp/1`, peer));
    permit(ask('a', 1));
    permit(ask('b', 2));
    expect(refusal(ask('c', 3)).denied).to.equal('2 circuits at once per token');
    permit(ask('d', 3));
  });

  it('takes nothing anywhere where one limit is hit', () => {
    const { admission } = admissionOf(
      '[limits]\nuploads = 3\n[limits.prefix]\nuploads = 3\n[limits.peer]\nuploads = 1',
    );
    permit(admission.admit('upload', at('/ip4/192.0.2.1/tcp/1', 'a')));
    for (let n = 0; n < 10; n++) refusal(admission.admit('upload', at('/ip4/192.0.2.1/tcp/1', 'a')));
    permit(admission.admit('upload', at('/ip4/192.0.2.1/tcp/1', 'b')));
    permit(admission.admit('upload', at('/ip4/192.0.2.1/tcp/1', 'c')));
    expect(admission.status().lent.upload).to.equal(3);
  });

  it('takes back what is released, once', () => {
    const { admission } = admissionOf('[limits.peer]\nuploads = 2');
    const who = at('/ip4/192.0.2.1/tcp/1', 'a');
    const [first] = [permit(admission.admit('upload', who)), permit(admission.admit('upload', who))];
    refusal(admission.admit('upload', who));
    first.release();
    first.release();
    permit(admission.admit('upload', who));
    refusal(admission.admit('upload', who));
    expect(admission.status().lent.upload).to.equal(2);
  });

  it('releases what was taken, also where who asks counts for something else by now', () => {
    const { admission, clock } = admissionOf('');
    const who = at('/ip4/192.0.2.1/tcp/1', PEER);
    const before = permit(admission.admit('circuit', who));
    admission.hold(PEER, { id: 't', until: clock.now() / 1000 + 100 });
    const within = permit(admission.admit('circuit', who));
    admission.replace(configOf(`[operator]\npeers = ["${PEER}"]`));
    admission.letGo(PEER);
    for (const one of [before, within]) one.release();
    expect(admission.status().lent.circuit).to.equal(0);
  });

  it('lets so much begin in a window of time, and tells when the next one begins', async () => {
    const { admission, clock } = admissionOf(
      '[limits.prefix]\nreservations_per_minute = 2\n[limits.peer]\nreservations = 9',
    );
    const who = at('/ip4/192.0.2.1/tcp/1', 'a');
    await clock.advance(15_000);
    for (let n = 0; n < 2; n++) permit(admission.admit('reservation', who)).release();
    expect(refusal(admission.admit('reservation', who))).to.deep.equal({
      denied: '2 reservations a minute per address prefix',
      of: 'prefix',
      retryAfterSeconds: 45,
    });
    await clock.advance(44_999);
    expect(refusal(admission.admit('reservation', who)).retryAfterSeconds).to.equal(1);
    await clock.advance(1);
    permit(admission.admit('reservation', who));
  });

  it('counts bytes by the day, and none of those that it denies', async () => {
    const { admission, clock } = admissionOf('[limits.prefix]\ncircuit_bytes_per_day = "10 MB"');
    const who = at('/ip4/192.0.2.1/tcp/1', 'a');
    expect(admission.spend('relayed', who, 9_000_000)).to.equal(undefined);
    const { denied, retryAfterSeconds } = refusal(admission.spend('relayed', who, 1_000_001));
    expect(denied).to.equal('10.0 MB a day through circuits per address prefix');
    expect(retryAfterSeconds).to.equal(86_400);
    expect(admission.spend('relayed', who, 1_000_000)).to.equal(undefined);
    expect(admission.spend('served', who, 5_000_000), 'another budget').to.equal(undefined);
    refusal(admission.spend('relayed', at('/ip4/192.0.2.9/tcp/1'), 1));
    await clock.advance(86_400_000);
    expect(admission.spend('relayed', who, 10_000_000)).to.equal(undefined);
  });

  it('lets an IPv6 /32 have eight times what each of its /48 may have', () => {
    const { admission } = admissionOf('[limits.prefix]\nreservations = 2');
    const ask = (group: number, peer: string) =>
      admission.admit('reservation', at(`/ip6/2001:db8:${group.toString(16)}::1/tcp/1`, peer));
    for (let group = 1; group <= 8; group++) {
      for (const peer of ['a', 'b']) permit(ask(group, `${peer}${group}`));
      if (group < 8) expect(refusal(ask(group, 'c')).denied).to.equal('2 reservations at once per address prefix');
    }
    expect(refusal(ask(9, 'd')).denied).to.equal('16 reservations at once per IPv6 /32');
    permit(admission.admit('reservation', at('/ip6/2001:db9::1/tcp/1', 'd')));
  });

  it('holds the peers of its operator to nothing but the limits of the whole relay', () => {
    const { admission } = admissionOf(
      `[limits]\nuploads = 3\n[limits.prefix]\nuploads = 1\n[limits.peer]\nuploads = 1\n[operator]\npeers = ["${PEER}"]`,
    );
    const own = at('/ip4/192.0.2.1/tcp/1', PEER);
    for (let n = 0; n < 3; n++) permit(admission.admit('upload', own));
    expect(refusal(admission.admit('upload', own)).denied).to.equal('3 uploads at once of this relay');
    expect(admission.quotasOf(own)).to.include({ account: `peer:${PEER}`, tier: 'operator', leases: 50_000 });
  });

  it('tells each tier its quotas, and a token those of its own', () => {
    const { admission, clock } = admissionOf('');
    const who = at('/ip4/192.0.2.1/tcp/1', 'a');
    expect(admission.quotasOf(who)).to.include({ tier: 'anonymous', storedBytes: 1e9, leaseSeconds: 7 * 86_400 });
    const until = clock.now() / 1000 + 100;
    admission.hold('a', { id: 'abc', until });
    expect(admission.quotasOf(who)).to.include({ account: 'token:abc', tier: 'token', storedBytes: 1e11 });
    admission.hold('a', { id: 'abc', until, storedBytes: 5, leaseSeconds: 6 });
    expect(admission.quotasOf(who)).to.include({ storedBytes: 5, leaseSeconds: 6, circuitBytes: 2 ** 30 });
    expect(admission.quotasOf(at(who.address, 'b')).tier).to.equal('anonymous');
    admission.letGo('a');
    expect(admission.quotasOf(who).tier).to.equal('anonymous');
  });

  it('takes no account of a token that has expired meanwhile', async () => {
    const { admission, clock } = admissionOf('');
    admission.hold('a', { id: 't', until: clock.now() / 1000 + 100 });
    await clock.advance(99_999);
    expect(admission.quotasOf(at('', 'a')).tier).to.equal('token');
    await clock.advance(1);
    expect(admission.quotasOf(at('', 'a')).tier).to.equal('anonymous');
  });

  it('names accounts of prefixes so that they do not show', () => {
    const { admission } = admissionOf('');
    const { account } = admission.quotasOf(at('/ip4/192.0.2.1/tcp/1'));
    expect(account).to.match(/^prefix:[0-9a-f]{32}$/);
    expect(admission.quotasOf(at('/ip4/192.0.2.200/tcp/2', 'x')).account).to.equal(account);
    expect(admission.quotasOf(at('/ip4/192.0.3.1/tcp/1')).account).not.to.equal(account);
    const other = new RelayAdmission({ config: configOf(''), secret: new Uint8Array(32).fill(1), clock: simClock() });
    expect(other.quotasOf(at('/ip4/192.0.2.1/tcp/1')).account).not.to.equal(account);
  });

  it('goes by new limits at once, and forgets nothing that is lent', () => {
    const { admission } = admissionOf('[limits.peer]\nuploads = 3');
    const who = at('/ip4/192.0.2.1/tcp/1', 'a');
    const permits = [1, 2, 3].map(() => permit(admission.admit('upload', who)));
    admission.replace(configOf('[limits.peer]\nuploads = 2'));
    expect(refusal(admission.admit('upload', who)).denied).to.equal('2 uploads at once per peer');
    permits[0]?.release();
    refusal(admission.admit('upload', who));
    permits[1]?.release();
    permit(admission.admit('upload', who));
    admission.replace(configOf('[limits.peer]\nuploads = 4'));
    for (let n = 0; n < 2; n++) permit(admission.admit('upload', who));
    refusal(admission.admit('upload', who));
  });

  it('lets few tokens be presented per prefix and minute, whatever the peers are called', async () => {
    const { admission, clock } = admissionOf('');
    for (let n = 0; n < TOKENS_PER_MINUTE_PER_PREFIX; n++)
      expect(admission.present(at('/ip4/192.0.2.1/tcp/1', `peer ${n}`))).to.equal(undefined);
    expect(refusal(admission.present(at('/ip4/192.0.2.2/tcp/1', 'another'))).denied).to.equal(
      '30 tokens a minute per address prefix',
    );
    expect(admission.present(at('/ip4/192.0.3.1/tcp/1', 'x'))).to.equal(undefined);
    await clock.advance(60_000);
    expect(admission.present(at('/ip4/192.0.2.1/tcp/1', 'x'))).to.equal(undefined);
  });

  it('holds no more tokens than there may be connections', () => {
    const { admission, clock } = admissionOf('[limits]\nconnections = 2');
    const token = { id: 't', until: clock.now() / 1000 + 100 };
    expect(['a', 'b', 'c', 'a'].map(peer => admission.hold(peer, token))).to.deep.equal([true, true, false, true]);
  });

  it('remembers nothing of ten thousand peers of one prefix that come and go', async () => {
    const { admission, clock } = admissionOf(`[limits]\n${MANY}[limits.prefix]\n${MANY}[limits.peer]\n${MANY}`);
    let most = 0;
    for (let n = 0; n < 10_000; n++) {
      permit(admission.admit('connection', at('/ip4/192.0.2.1/tcp/1', `peer ${n}`))).release();
      if (n % 10 === 0) await clock.advance(1000);
      most = Math.max(most, admission.status().keys);
    }
    expect(most).to.be.lessThan(100);
  });

  it('remembers nothing of who is denied', () => {
    const { admission } = admissionOf('[limits.prefix]\nconnections_per_second = 5');
    for (let n = 0; n < 10_000; n++) admission.admit('connection', at('/ip4/192.0.2.1/tcp/1', `peer ${n}`));
    expect(admission.status().keys).to.equal(5 + 2);
  });

  it('keeps its memory within bounds where all have passed bytes today, and forgets neither loans nor the whole', () => {
    const config = configOf('[limits]\ncircuit_bytes_per_day = "1 TB"');
    const maxKeys = 1000;
    const admission = new RelayAdmission({ config, secret: new Uint8Array(32), clock: simClock(), maxKeys });
    const lender = at('/ip4/192.0.2.1/tcp/1', 'lender');
    const lent = [1, 2].map(() => permit(admission.admit('upload', lender)));
    let passed = 0;
    const passMore = (): void => {
      for (let n = 0; n < 3 * maxKeys; n++, passed++) {
        admission.spend('relayed', at(`/ip4/${passed >> 16}.${(passed >> 8) & 255}.${passed & 255}.1/tcp/1`), 1);
        expect(admission.status().keys).to.be.at.most(maxKeys);
      }
    };
    passMore();
    expect(admission.status().keys).to.equal(maxKeys);
    expect(refusal(admission.admit('upload', lender)).denied).to.include('per peer');
    for (const one of lent) one.release();
    expect(admission.status().lent.upload).to.equal(0);
    passMore();
    const rest = refusal(admission.spend('relayed', at('/ip4/203.0.113.9/tcp/1'), 1e12 - passed + 1));
    expect(rest.denied).to.include('of this relay');
  });

  it('counts what is lent and nothing else, whatever is asked, released, changed and forgotten in whatever order', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('admit' as const),
        loan: fc.constantFrom(...LOANS),
        address: fc.constantFrom(
          '/ip4/192.0.2.1/tcp/1',
          '/ip4/198.51.100.1/tcp/1',
          '/ip6/2001:db8::1/tcp/1',
          '/memory/1',
        ),
        peer: fc.constantFrom(undefined, 'a', 'b', PEER),
      }),
      fc.record({ do: fc.constant('release' as const), which: fc.nat(100) }),
      fc.record({ do: fc.constant('spend' as const), bytes: fc.nat(1_000_000) }),
      fc.record({ do: fc.constant('replace' as const), most: fc.nat(6), isOperator: fc.boolean() }),
      fc.record({ do: fc.constant('hold' as const), peer: fc.constantFrom('a', 'b'), isHeld: fc.boolean() }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat(100_000) }),
    );
    const check = async (steps: (typeof step extends fc.Arbitrary<infer S> ? S : never)[]): Promise<void> => {
      const { admission, clock } = admissionOf('[limits.prefix]\nuploads = 5\ncircuits = 3');
      const permits: { permit: Permit; loan: Loan; isOut: boolean }[] = [];
      for (const one of steps) {
        if (one.do === 'admit') {
          const answer = admission.admit(one.loan, at(one.address, one.peer));
          if (!('denied' in answer)) permits.push({ permit: answer, loan: one.loan, isOut: true });
        } else if (one.do === 'release') {
          const chosen = permits[one.which % Math.max(1, permits.length)];
          chosen?.permit.release();
          if (chosen !== undefined) chosen.isOut = false;
        } else if (one.do === 'spend') admission.spend('served', at('/memory/1', 'a'), one.bytes);
        else if (one.do === 'wait') await clock.advance(one.ms);
        else if (one.do === 'replace')
          admission.replace(
            configOf(
              `[limits.peer]\nuploads = ${one.most}\n[operator]\npeers = ${one.isOperator ? `["${PEER}"]` : '[]'}`,
            ),
          );
        else if (one.isHeld) admission.hold(one.peer, { id: 't', until: clock.now() / 1000 + 50 });
        else admission.letGo(one.peer);
        for (const loan of LOANS) {
          const out = permits.filter(given => given.isOut && given.loan === loan).length;
          expect(admission.status().lent[loan]).to.equal(out);
        }
      }
      for (const given of permits) given.permit.release();
      await clock.advance(2 * 86_400_000);
      for (const loan of LOANS) expect(admission.status().lent[loan]).to.equal(0);
      // Nothing of any other key is left either: each may have all of its limit again.
      admission.replace(configOf('[limits]\nuploads = 1\n[limits.prefix]\nuploads = 1\n[limits.peer]\nuploads = 1'));
      for (const address of ['/ip4/192.0.2.1/tcp/1', '/ip6/2001:db8::1/tcp/1', '/memory/1'])
        for (const peer of ['a', 'b', PEER]) permit(admission.admit('upload', at(address, peer))).release();
    };
    return fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), check), { numRuns: 25 });
  });
});
