/** `shoal status` and `shoal peers`: how the process that holds the home stands, and with whom it is connected. */
import type { Results } from '../../src/daemon/actions.ts';
import { isShoalError } from '../../src/errors.ts';
import { table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { SHORT_ID_CHARS } from '../../src/limits.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { count, formatSeconds } from '../units.ts';

/** @throws ShoalError */
export async function status({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer.run('status', {}, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  terminal.results(result.holds ? linesOf(result) : nobody(result));
}

function nobody({ shares, transfers }: Results['status']): string[] {
  const waiting = transfers.total === 0 ? '' : `, and ${count(transfers.total, 'transfer')}`;
  return [
    `no process holds this home; it has ${count(shares.total, 'share')}${waiting}`,
    '"shoal daemon --detach" starts a daemon',
  ];
}

function linesOf(status: Results['status']): string[] {
  const { version, pid, daemon, since, peer, addresses, connections, lanPeers, dhtPeers, shares, transfers } = status;
  const { maxConnections, maxUp, maxDown, reservations = [], apart = [] } = status;
  const limits = [
    ...(maxUp === undefined ? [] : [`${formatBytes(maxUp)}/s up`]),
    ...(maxDown === undefined ? [] : [`${formatBytes(maxDown)}/s down`]),
  ];
  const up = formatSeconds(Math.max(0, Date.now() / 1000 - since));
  const who =
    daemon === undefined ? 'a command' : daemon.pid === pid ? 'the daemon' : `a command, and daemon ${daemon.pid}`;
  return [
    `holder:       ${who} (process ${pid}, shoal ${version}), for ${up}`,
    `serving:      ${shares.serving} of ${count(shares.total, 'share')}`,
    `transfers:    ${transfers.running} of ${transfers.total} under way`,
    `connections:  ${connections}${maxConnections === undefined ? '' : ` of ${maxConnections}`}`,
    ...(status.store === undefined ? [] : [`store:        ${storeLine(status.store)}`]),
    ...(limits.length === 0 ? [] : [`limits:       ${limits.join(', ')}`]),
    `known nodes:  ${lanPeers ?? 'none asked'} on the local network, ${dhtPeers ?? 'none asked'} in the DHT`,
    ...reservations.map((one, n) => `${n === 0 ? 'relays:     ' : '            '}  ${relayLine(one)}`),
    `peer id:      ${peer}`,
    ...apart.map(({ id, peer: own }) => `of a share:   ${own}, of ${id.slice(0, SHORT_ID_CHARS)}`),
    ...addresses.map((address, n) => `${n === 0 ? 'addresses:  ' : '            '}  ${address}`),
  ];
}

function storeLine({ usedBytes, quotaBytes, roomBytes }: NonNullable<Results['status']['store']>): string {
  const quota = quotaBytes === undefined ? 'no quota' : `of a quota of ${formatBytes(quotaBytes)}`;
  return `${formatBytes(usedBytes)} of encrypted blocks, ${quota}; room for ${formatBytes(roomBytes)} on the disk`;
}

function relayLine({ peer, state, why }: NonNullable<Results['status']['reservations']>[number]): string {
  const relay = `…${peer.slice(-8)}`;
  if (state === 'reserved') return `others reach this node through ${relay}`;
  return why === undefined ? `${relay} has not answered yet` : `not reachable through ${relay}: ${why}`;
}

const HEADS: readonly Column[] = [
  { title: 'PEER', side: 'left' },
  { title: 'ADDRESS', side: 'left', shrinks: true },
  { title: 'PATH', side: 'left' },
  { title: 'BY', side: 'left' },
  { title: 'FOR', side: 'right' },
  { title: 'SHARES', side: 'right' },
  { title: 'UP', side: 'right' },
];

/** @throws ShoalError */
export async function peers({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer
    .run('peers', {}, () => undefined, signal)
    .catch((error: unknown): Results['peers'] => {
      // Who holds nothing is connected to nobody.
      if (isShoalError(error, 'usage')) return { peers: [] };
      throw error;
    });
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  if (result.peers.length === 0) {
    terminal.say('connected to nobody');
    return;
  }
  const now = Date.now() / 1000;
  const rows = result.peers.map(({ peer, address, path, direction, since, shares, bytesUp }) => [
    `…${peer.slice(-8)}`,
    address.replace(/\/p2p\/.*$/, ''),
    path === 'relay' ? 'relay' : 'direct',
    direction === 'in' ? 'them' : 'us',
    formatSeconds(Math.max(0, now - since)),
    String(shares),
    formatBytes(bytesUp),
  ]);
  terminal.results(table(HEADS, rows, terminal.columns));
}
