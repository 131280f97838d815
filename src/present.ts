/** Presents an invite token to a relay, which then lets this node have what the token promises (protocol.md). */
import { ShoalError } from './errors.ts';
import { escaped } from './format/quoted.ts';
import { DIAL_TIMEOUT_MS, PRESENT_TIMEOUT_MS } from './limits.ts';
import type { Candidate, Clock, Network } from './ports.ts';
import {
  ADMISSION_PROTOCOL,
  decodeAdmissionAnswer,
  encodeAdmission,
  type AdmissionRefusal,
  type Admitted,
} from './protocol/admission-messages.ts';
import { within } from './within.ts';

/**
 * @param token as text
 * @returns what the relay grants as long as this node is connected with it
 * @throws ShoalError `refused` where the token is not accepted; `unavailable` where the relay is busy, or does not answer;
 *   `not-found` where it is not reached; `protocol`; the signal's reason
 */
export async function present(
  network: Network,
  relay: Candidate,
  token: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Admitted> {
  const late = new AbortController();
  const dialling = network.connect(relay, ADMISSION_PROTOCOL, AbortSignal.any([signal, late.signal]));
  const channel = await within(clock, DIAL_TIMEOUT_MS, dialling).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  if (channel === undefined) {
    late.abort(silent());
    // It may have come about in the last moment.
    dialling.then(
      one => one.abort(silent()),
      () => undefined,
    );
    throw silent();
  }
  const onAbort = (): void => channel.abort(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await channel.send(encodeAdmission({ type: 'present', token }));
    const first = await within(clock, PRESENT_TIMEOUT_MS, channel.frames()[Symbol.asyncIterator]().next());
    if (first === undefined || first.done === true) throw silent();
    const answer = decodeAdmissionAnswer(first.value.header, first.value.body.length);
    await channel.close();
    if (answer.type === 'refuse') throw refusalError(answer);
    return answer;
  } catch (error) {
    channel.abort(error as Error);
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function silent(): ShoalError {
  return new ShoalError('unavailable', 'cannot present the token: the relay did not answer; try again later');
}

function refusalError({ reason, detail, retryAfter }: AdmissionRefusal): ShoalError {
  const why = detail === undefined ? reason : `${reason}: ${escaped(detail)}`;
  if (reason !== 'busy') return new ShoalError('refused', `cannot use the token: the relay refuses it (${why})`);
  const when = retryAfter === undefined ? 'later' : `in ${retryAfter} s`;
  return new ShoalError('unavailable', `cannot present the token: the relay is busy (${why}); try again ${when}`);
}
