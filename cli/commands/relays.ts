/** `shoal relays`: the relays of this home. */
import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import type { Results } from '../../src/daemon/actions.ts';
import { fileError, ShoalError } from '../../src/errors.ts';
import { formatBytes } from '../../src/format/sizes.ts';
import { MAX_TOKEN_CHARS } from '../../src/limits.ts';
import { fieldLines, table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { pathAt } from '../paths.ts';
import { count, formatDate, formatSeconds } from '../units.ts';

type Relay = Results['relays']['relays'][number];
type Shown = Results['relay'];

const HEADS: readonly Column[] = [
  { title: 'RELAY', side: 'left', shrinks: true },
  { title: 'PEER', side: 'left' },
  { title: 'USED', side: 'left' },
  { title: 'SHARES', side: 'right' },
  { title: 'PLACE', side: 'left' },
];

/** @throws ShoalError */
export async function list({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer.run('relays', {}, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  if (result.relays.length === 0) {
    terminal.say('no relays are known to this home; "shoal relays add https://relay.example" adds one');
    return;
  }
  terminal.results(table(HEADS, result.relays.map(rowOf), terminal.columns));
  for (const relay of result.relays) {
    const why = relay.reservation?.why;
    if (why !== undefined) terminal.say(`${nameOf(relay)}: no place there for now: ${why}`);
  }
}

function rowOf(relay: Relay): string[] {
  const { peer, always, copies, reservation } = relay;
  const place = reservation === undefined ? '' : reservation.state === 'reserved' ? 'reserved' : 'none yet';
  return [nameOf(relay), `…${peer.slice(-8)}`, always ? 'for all' : 'where named', String(copies), place];
}

function nameOf({ origin, name, peer }: Relay): string {
  return origin ?? name ?? peer;
}

export interface AddOptions {
  /** A file with an invite token, or "-" for stdin. */
  readonly tokenFile?: string;
}

/** @throws ShoalError `usage`, `not-found`, `protocol`, `io` */
export async function add(context: Context, relay: string, { tokenFile }: AddOptions): Promise<void> {
  const { terminal, performer, signal } = context;
  const token = tokenFile === undefined ? undefined : await readToken(context, tokenFile);
  const added = await performer.run(
    'addRelay',
    { relay, always: true, ...(token === undefined ? {} : { token }) },
    () => undefined,
    signal,
  );
  if (terminal.isJson) {
    terminal.json(added);
    return;
  }
  terminal.say(`added ${nameOf(added)}; what this home shares from now on is left there, too`);
  terminal.results(fieldLines(fieldsOf(added)));
}

/** A token would be seen in the list of processes as an argument. */
async function readToken({ cwd, stdin }: Context, file: string): Promise<string> {
  let text: string;
  try {
    text = file === '-' ? await readAll(stdin) : await readFile(pathAt(cwd, file), 'utf8');
  } catch (error) {
    throw fileError(error, 'read the token');
  }
  const token = text.trim();
  if (token === '' || token.length > MAX_TOKEN_CHARS)
    throw new ShoalError(
      'usage',
      'cannot read the token: what was given is not what "shoal-relay token create" prints',
    );
  return token;
}

/** @throws ShoalError `usage` */
export async function remove({ terminal, performer, signal }: Context, relay: string): Promise<void> {
  const removed = await performer.run('removeRelay', { relay }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(removed);
    return;
  }
  const kept = removed.copies === 0 ? '' : `; the ${count(removed.copies, 'share')} there stay until their leases end`;
  terminal.say(`removed ${nameOf(removed)}${kept}`);
}

/** @throws ShoalError `usage`, `not-found`, `protocol` */
export async function show({ terminal, performer, signal }: Context, relay: string): Promise<void> {
  const shown = await performer.run('relay', { relay }, () => undefined, signal);
  if (terminal.isJson) terminal.json(shown);
  else terminal.results(fieldLines(fieldsOf(shown)));
}

function fieldsOf({ info, ...relay }: Shown): [string, string | undefined][] {
  const { peer, origin, addresses, token, reservation, copies, addedAt } = relay;
  const limits = (token ? info?.limits.token : undefined) ?? info?.limits.anonymous;
  const place =
    reservation === undefined
      ? undefined
      : reservation.state === 'reserved'
        ? 'others reach this node through it'
        : `none yet${reservation.why === undefined ? '' : `: ${reservation.why}`}`;
  return [
    ['name', info?.name ?? relay.name],
    ['origin', origin],
    ['peer id', peer],
    ['addresses', addresses.join(', ')],
    ['operator', info?.operator],
    ['contact', info?.contact],
    ['terms', info?.terms],
    ['version', info?.version],
    ['does', info === undefined ? undefined : rolesOf(info.roles)],
    ['tier', info === undefined ? undefined : token ? 'by invite token' : 'anonymous'],
    [
      'stores',
      limits &&
        `${formatBytes(limits.storedBytes)} in ${count(limits.leases, 'share')}, for ${formatSeconds(limits.leaseSeconds)}`,
    ],
    [
      'passes on',
      limits && `${formatBytes(limits.circuitBytes)} and ${formatSeconds(limits.circuitSeconds)} a connection`,
    ],
    ['keeps of you', info?.retention],
    ['shares here', String(copies)],
    ['place', place],
    ['added', formatDate(addedAt)],
  ];
}

function rolesOf({ dht, circuit, autonat, store }: NonNullable<Shown['info']>['roles']): string {
  const roles = [
    ...(store ? ['stores shares'] : []),
    ...(circuit ? ['passes on connections'] : []),
    ...(autonat ? ['tells how you can be reached'] : []),
    ...(dht ? ['is a node of the DHT'] : []),
  ];
  return roles.join(', ') || 'nothing at present';
}
