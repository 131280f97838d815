/** A channel to a peer, or none soon. */
import { ShoalError } from './errors.ts';
import { DIAL_TIMEOUT_MS } from './limits.ts';
import type { Candidate, Channel, Clock, Network } from './ports.ts';

/** @throws ShoalError `not-found` also where the peer has not answered in DIAL_TIMEOUT_MS; as `connect` does */
export async function dial(
  network: Pick<Network, 'connect'>,
  clock: Clock,
  candidate: Candidate,
  protocol: string,
  signal: AbortSignal,
): Promise<Channel> {
  const [late, timer] = [new AbortController(), new AbortController()];
  clock.sleep(DIAL_TIMEOUT_MS, timer.signal).then(
    () => late.abort(new ShoalError('not-found', 'did not answer')),
    () => undefined,
  );
  try {
    return await network.connect(candidate, protocol, AbortSignal.any([signal, late.signal]));
  } finally {
    timer.abort();
  }
}
