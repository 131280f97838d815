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
      : `asked ${status.lanPeers} peer(s) on the local network and the DHT (${status.dhtPeers} nodes)`;
  const endings = swarm.endings().map(({ ending }) => {
    if (ending.why !== 'refused') return ending.detail;
    return ending.refusal.reason === 'unknown' ? 'do not have it' : `refuse: ${ending.refusal.reason}`;
  });
  const tally = [...new Set(endings)].map(why => `${endings.filter(other => other === why).length} ${why}`);
  return `looking for peers: ${asked}; ${known} known, ${dialling} being called${tally.length === 0 ? '' : ` (${tally.join('; ')})`}`;
}
