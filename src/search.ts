/** What the search for peers of a share has come to, for decisions and in words. */
import { isShoalError, ShoalError } from './errors.ts';
import { hoursText } from './format/dates.ts';
import type { ShareBlock } from './format/share-block.ts';
import type { FoundVia, NetworkStatus, Path } from './ports.ts';
import type { WireRefusal } from './protocol/messages.ts';
import type { Ending, Swarm } from './protocol/swarm.ts';

/** A step of a search, for who wants to see how it goes (explain.ts); what everybody is told are events. */
export type Step =
  /** So many nodes of the DHT have answered. */
  | { readonly step: 'asked'; readonly nodes: number }
  | { readonly step: 'heard'; readonly peer: string; readonly via: FoundVia; readonly addresses: readonly string[] }
  | { readonly step: 'dialling'; readonly peer: string }
  | { readonly step: 'reached'; readonly peer: string; readonly path: Path }
  /** It has answered the proof, with the share block. */
  | { readonly step: 'proved'; readonly peer: string }
  /** It has not got blocks that it was asked for. */
  | { readonly step: 'lacks'; readonly peer: string }
  | { readonly step: 'ended'; readonly peer: string; readonly ending: Ending; readonly detail: string };

/** How a conversation with a peer ended that failed with `error`, or never began because it could not be `connected`. */
export function endingOf(error: unknown, connected: boolean): Ending {
  const detail = error instanceof Error ? error.message : String(error);
  if (isShoalError(error, 'mismatch')) return { why: 'lied', detail: 'sent wrong bytes' };
  if (isShoalError(error, 'protocol'))
    return connected ? { why: 'broke-protocol', detail } : { why: 'unreachable', detail: OTHER_PROTOCOL };
  return { why: connected ? 'vanished' : 'unreachable', detail: connected ? detail : 'can not be reached' };
}

const OTHER_PROTOCOL = 'can not talk to us, being of another version or another program';

/** The refusals of peers that know the share. */
export function refusalsIn(swarm: Swarm): WireRefusal[] {
  return swarm
    .endings()
    .flatMap(({ ending }) => (ending.why === 'refused' && ending.refusal.reason !== 'unknown' ? [ending.refusal] : []));
}

/**
 * Why there is no hope, where all who know the share refuse it, not only for now.
 * @param isTimeUp who was not tried yet is not waited for
 * @param block of the share, where it is known
 * @param nowSeconds by our clock, Unix seconds
 */
export function refusedByAll(
  swarm: Swarm,
  isTimeUp: boolean,
  block: Pick<ShareBlock, 'expires'> | undefined,
  nowSeconds: number,
): ShoalError | undefined {
  const refusals = refusalsIn(swarm);
  const reasons = [...new Set(refusals.map(({ reason }) => reason))];
  const isForNow = reasons.includes('busy') || reasons.includes('over-quota');
  if (reasons.length === 0 || isForNow) return undefined;
  if (swarm.counts().untried > 0 && !isTimeUp) return undefined;
  if (reasons.every(reason => reason === 'changed')) {
    return new ShoalError(
      'changed',
      'cannot fetch: the files were changed after they were shared, and nobody was found who has them as they were; ask the sharer for a new link',
    );
  }
  const left = reasons.every(reason => reason === 'expired') ? leftSeconds(refusals, block, nowSeconds) : 0;
  if (left > 0)
    return new ShoalError(
      'refused',
      `cannot fetch: everyone who knows the share says that it has expired, and by the clock of this machine it has ${hoursText(left * 1000)} left: this clock is behind, or theirs are ahead; "shoal doctor" compares it with those of relays, so set the one that is wrong, and run this again`,
    );
  return new ShoalError(
    'refused',
    `cannot fetch: everyone who knows the share refuses it (${reasons.join(', ')}); ask the sharer`,
  );
}

/** How long a share or grant would last by our clock that others say has expired: by its block, else by their word. */
function leftSeconds(
  refusals: readonly WireRefusal[],
  block: Pick<ShareBlock, 'expires'> | undefined,
  nowSeconds: number,
): number {
  const told = refusals.flatMap(({ until }) => until ?? []);
  const end = block === undefined ? Math.max(0, ...told) : block.expires;
  return end === undefined ? 0 : end - nowSeconds;
}

/** Where is looked for peers. */
export interface SearchPlaces {
  /** Addresses in the link. */
  readonly hints: number;
  /** Undefined without a network. */
  readonly status: NetworkStatus | undefined;
}

/** Who was asked, what came of it, and where nothing did, what to do, as the end of a sentence. */
export function searchSoFar(swarm: Swarm, places: SearchPlaces): string {
  const { known, dialling, untried } = swarm.counts();
  const endings = swarm.endings().map(({ ending }) => ending);
  const tally = tallyOf(endings);
  const peers = `${known} known, ${dialling} being called${tally === '' ? '' : ` (${tally})`}`;
  const next = untried > 0 ? undefined : nextStep(endings, known, places);
  return `looking for peers: asked ${askedIn(places)}; ${peers}${next === undefined ? '' : `; ${next}`}`;
}

function askedIn({ hints, status }: SearchPlaces): string {
  if (status === undefined) return 'this home only';
  const { lanPeers, dhtPeers } = status;
  const asked = [
    ...(hints === 0 ? [] : [`${counted(hints, 'address', 'addresses')} in the link`]),
    ...(lanPeers === undefined ? [] : [`${counted(lanPeers, 'peer')} on the local network`]),
    ...(dhtPeers === undefined ? [] : [`the DHT (${counted(dhtPeers, 'node')})`]),
  ];
  if (asked.length === 0) return 'nobody, as the link has no address, and the local network and the DHT are off';
  return asked.length === 1 ? asked.join() : `${asked.slice(0, -1).join(', ')} and ${asked.at(-1)}`;
}

const NOT_KNOWN =
  'it may not be shared any more (delivered, removed, or its files moved); if it is, is the link outdated, or the clock of a machine wrong?';
const RUNNING = 'is "shoal share" still running where it was shared?';

/**
 * What whoever looks for a share can do now; undefined where that is only to wait.
 * @param known peers that may have it
 */
export function nextStep(endings: readonly Ending[], known: number, places: SearchPlaces): string | undefined {
  // A share is asked for under a name of the day (format.md §10): who has another day does not know it.
  if (endings.some(isUnknown)) return NOT_KNOWN;
  if (endings.some(({ why }) => why === 'refused')) return undefined;
  if (endings.some(ending => ending.why === 'unreachable' && ending.detail === OTHER_PROTOCOL))
    return 'use the same version of shoal on both sides';
  if (known > 0)
    return endings.some(({ why }) => why === 'unreachable')
      ? `${RUNNING} If so, a router or firewall may keep others out`
      : undefined;
  const { hints, status } = places;
  if (status === undefined) return undefined;
  if (status.dhtPeers !== undefined && status.dhtPeers > 0) return RUNNING;
  if (status.lanPeers === undefined && hints === 0) return farther(status);
  return `${RUNNING} Beyond the local network, ${farther(status)}`;
}

/** How more can be asked than the local network. */
function farther({ dhtPeers, startingPoints }: NetworkStatus): string {
  const ways = [
    ...(dhtPeers === undefined ? ['leave out --dht off (SHOAL_DHT, network.dht)'] : []),
    ...(startingPoints === 0 ? ['give a starting point with --bootstrap'] : []),
  ];
  const way = ways.join(' and ') || 'look whether the starting point that was given (--bootstrap) can be reached';
  return `${way}, or ask for a link with an address (shoal share --hint)`;
}

/** How many of something, in words. */
export function counted(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}

function isUnknown(ending: Ending): boolean {
  return ending.why === 'refused' && ending.refusal.reason === 'unknown';
}

/** How many conversations ended in each way. */
export function tallyOf(endings: readonly Ending[]): string {
  const ways = Map.groupBy(endings, ending => (ending.why === 'refused' ? ending.refusal.reason : ending.detail));
  return Array.from(ways.values(), alike => `${alike.length} ${whatTheyDo(alike[0]!, alike.length === 1)}`).join('; ');
}

function whatTheyDo(ending: Ending, isOne: boolean): string {
  if (ending.why !== 'refused') return ending.detail;
  if (isUnknown(ending)) return isOne ? 'does not have it' : 'do not have it';
  return `${isOne ? 'refuses' : 'refuse'}: ${ending.refusal.reason}`;
}
