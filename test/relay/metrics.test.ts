import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { relayMetrics, type Gauges, type Metrics } from '../../relay/metrics.ts';

const GAUGES: Gauges = {
  connections: () => 1,
  reservations: () => 2,
  circuits: () => 3,
  leases: () => 4,
  storedBytes: () => 5,
  diskFreeBytes: () => Promise.resolve(6),
  dhtPeers: () => 7,
};
const PEER = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN';

/** The samples by name and labels, without those of the process. */
async function samplesOf(metrics: Metrics): Promise<Record<string, string>> {
  const lines = (await metrics.text()).split('\n').filter(line => /^[^#]/.test(line) && !isOfProcess(line));
  return Object.fromEntries(lines.map(line => [line.replace(/ \S+$/, ''), line.replace(/^.* /, '')]));
}

function isOfProcess(name: string): boolean {
  return /^shoal_relay_(process|nodejs)_/.test(name);
}

/** What is told of each metric: its kind and its labels, and the values of labels as far as there are any. */
async function described(metrics: Metrics): Promise<Map<string, { kind: string; labels: Map<string, Set<string>> }>> {
  const text = await metrics.text();
  const found = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', kind = '']) => [
      name,
      { kind, labels: new Map<string, Set<string>>() },
    ]),
  );
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)\{(.*)\} \S+$/gm)) {
    const of = found.get(name)?.labels;
    for (const [, label = '', value = ''] of labels.matchAll(/(\w+)="([^"]*)"/g))
      of?.set(label, (of.get(label) ?? new Set()).add(value));
  }
  return found;
}

describe('the metrics of a relay', () => {
  it('show what the relay says when they are collected', async () => {
    let connections = 1;
    const metrics = relayMetrics({ ...GAUGES, connections: () => connections });
    expect(await samplesOf(metrics)).to.include({
      shoal_relay_connections: '1',
      shoal_relay_reservations: '2',
      shoal_relay_circuits: '3',
      shoal_relay_leases: '4',
      shoal_relay_stored_bytes: '5',
      shoal_relay_disk_free_bytes: '6',
      shoal_relay_dht_peers: '7',
    });
    connections = 10;
    expect(await samplesOf(metrics)).to.include({ shoal_relay_connections: '10' });
  });

  it('are told without the one that can not be had', async () => {
    const fail = (): never => {
      throw new Error('no disk');
    };
    for (const diskFreeBytes of [fail, () => Promise.reject(new Error('no disk'))])
      expect(await samplesOf(relayMetrics({ ...GAUGES, diskFreeBytes }))).to.include({
        shoal_relay_disk_free_bytes: 'Nan',
        shoal_relay_leases: '4',
      });
  });

  it('count what happened', async () => {
    const metrics = relayMetrics(GAUGES);
    metrics.relayed(100);
    metrics.relayed(11);
    metrics.served(22);
    metrics.received(33);
    metrics.uploaded('kept');
    metrics.uploaded('over-limit');
    metrics.denied('reservation', 'prefix');
    metrics.denied('reservation', 'prefix');
    metrics.denied('relayed', 'token');
    metrics.renewed();
    metrics.expired();
    metrics.withdrawn();
    for (const status of [200, 204, 304, 404, 429, 503]) metrics.answered(status);
    expect(await samplesOf(metrics)).to.include({
      shoal_relay_relayed_bytes_total: '111',
      shoal_relay_served_bytes_total: '22',
      shoal_relay_received_bytes_total: '33',
      'shoal_relay_uploads_total{result="kept"}': '1',
      'shoal_relay_uploads_total{result="over-limit"}': '1',
      'shoal_relay_uploads_total{result="full"}': '0',
      'shoal_relay_denials_total{loan="reservation",limit="prefix"}': '2',
      'shoal_relay_denials_total{loan="relayed",limit="token"}': '1',
      shoal_relay_renewals_total: '1',
      shoal_relay_expiries_total: '1',
      shoal_relay_withdrawals_total: '1',
      'shoal_relay_http_requests_total{class="2xx"}': '2',
      'shoal_relay_http_requests_total{class="3xx"}': '1',
      'shoal_relay_http_requests_total{class="4xx"}': '2',
      'shoal_relay_http_requests_total{class="5xx"}': '1',
    });
  });

  it('of two relays in one process do not mix', async () => {
    const [one, other] = [relayMetrics(GAUGES), relayMetrics(GAUGES)];
    one.renewed();
    expect(await samplesOf(other)).to.include({ shoal_relay_renewals_total: '0' });
  });

  it('never say who: what is no listed value of a label is counted as other', async () => {
    const metrics = relayMetrics(GAUGES);
    metrics.uploaded(PEER as 'kept');
    metrics.denied(PEER as 'served', '127.0.0.1' as 'peer');
    metrics.answered(Number.NaN);
    expect(await samplesOf(metrics)).to.include({
      'shoal_relay_uploads_total{result="other"}': '1',
      'shoal_relay_denials_total{loan="other",limit="other"}': '1',
      'shoal_relay_http_requests_total{class="other"}': '1',
    });
    const text = await metrics.text();
    expect(text).not.to.include(PEER);
    expect(text).not.to.include('127.0.0.1');
  });

  it('are those of the table in docs/metrics.md, with their kinds and labels', async () => {
    const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|(.*?)\| .+ \|$/gm)];
    const told = new Map(
      rows.map(([, name = '', kind = '', labels = '']) => {
        const parts = [...labels.matchAll(/`(\w+)`: ([^;]*)/g)];
        const values = (list: string): string[] => [...list.matchAll(/`([^`]+)`/g)].map(([, value = '']) => value);
        return [name, { kind, labels: new Map(parts.map(([, label = '', list = '']) => [label, values(list)])) }];
      }),
    );
    const metrics = relayMetrics(GAUGES);
    // Each documented value is one that can be counted.
    const denials = told.get('shoal_relay_denials_total')?.labels;
    for (const loan of denials?.get('loan') ?? [])
      for (const limit of denials?.get('limit') ?? []) metrics.denied(loan as 'served', limit as 'peer');
    metrics.uploaded('other' as 'kept');
    metrics.answered(0);
    const found = await described(metrics);
    expect([...found.keys()].filter(isOfProcess)).not.to.be.empty;
    for (const name of [...found.keys()].filter(isOfProcess)) found.delete(name);
    expect([...told.keys()]).to.deep.equal([...found.keys()]);
    for (const [name, { kind, labels }] of found) {
      expect(told.get(name)?.kind, name).to.equal(kind);
      const plain = new Map([...labels].map(([label, values]) => [label, [...values]]));
      expect(told.get(name)?.labels, name).to.deep.equal(plain);
    }
  });
});
