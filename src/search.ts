/** What the search for peers of a share has come to, for decisions and in words. */
import { isShoalError, ShoalError } from './errors.ts';
import type { NetworkStatus } from './ports.ts';
import type { WireRefusal } from './protocol/messages.ts';
import type { Ending, Swarm } from './protocol/swarm.ts';

/** How a conversation with a peer ended that failed with `error`, or never began because it could not be `connected`. */
export function endingOf(error: unknown, connected: boolean): Ending {
  const detail = error instanceof Error ? error.message : String(error);
  if (isShoalError(error, 'mismatch')) return { why: 'lied', detail: 'sent wrong bytes' };
  if (isShoalError(error, 'protocol') && connected) return { why: 'broke-protocol', detail };
  return { why: connected ? 'vanished' : 'unreachable', detail: connected ? detail : 'can not be reached' };
}

/** The refusals of peers that know the share. */
export function refusalsIn(swarm: Swarm): WireRefusal[] {
  return swarm
    .endings()
    .flatMap(({ ending }) => (ending.why === 'refused' && ending.refusal.reason !== 'unknown' ? [ending.refusal] : []));
}

/** Why there is no hope, once everybody has been tried and all who know the share refuse it, not only for now. */
export function refusedByAll(swarm: Swarm): ShoalError | undefined {
  const reasons = [...new Set(refusalsIn(swarm).map(({ reason }) => reason))];
  const isForNow = reasons.includes('busy') || reasons.includes('over-quota');
  if (reasons.length === 0 || isForNow || swarm.counts().untried > 0) return undefined;
  if (reasons.every(reason => reason === 'changed')) {
    return new ShoalError(
      'changed',
      'cannot fetch: the files were changed after they were shared, and nobody else has them; ask the sharer for a new link',
    );
  }
  return new ShoalError('refused', `cannot fetch: everyone who knows the share refuses it (${reasons.join(', ')})`);
}

/** Who was asked and what came of it, as the end of a sentence. Without a status there is no network. */
export function searchSoFar(swarm: Swarm, status: NetworkStatus | undefined): string {
  const { known, dialling } = swarm.counts();
  const asked =
    status === undefined
      ? 'asked this home only'
      : `asked ${counted(status.lanPeers, 'peer')} on the local network and the DHT (${counted(status.dhtPeers, 'node')})`;
  const endings = swarm.endings().map(({ ending }) => ending);
  const tally = tallyOf(endings);
  const peers = `${known} known, ${dialling} being called${tally === '' ? '' : ` (${tally})`}`;
  // A share is asked for under a name of the day (format.md §10): who has another day does not know it.
  const hint = endings.some(isUnknown) ? '; is the link outdated, or the clock of a machine wrong?' : '';
  return `looking for peers: ${asked}; ${peers}${hint}`;
}

/** How many of something, in words. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function isUnknown(ending: Ending): boolean {
  return ending.why === 'refused' && ending.refusal.reason === 'unknown';
}

/** How many conversations ended in each way. */
function tallyOf(endings: readonly Ending[]): string {
  const ways = Map.groupBy(endings, ending => (ending.why === 'refused' ? ending.refusal.reason : ending.detail));
  return Array.from(ways.values(), alike => `${alike.length} ${whatTheyDo(alike[0]!, alike.length === 1)}`).join('; ');
}

function whatTheyDo(ending: Ending, isOne: boolean): string {
  if (ending.why !== 'refused') return ending.detail;
  if (isUnknown(ending)) return isOne ? 'does not have it' : 'do not have it';
  return `${isOne ? 'refuses' : 'refuse'}: ${ending.refusal.reason}`;
}
