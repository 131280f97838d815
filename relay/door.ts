/**
 * The door of a relay: peers present invite tokens here, and are of the tier of their token as long as they are connected and
 * it holds. Answers `/shoal/admission/1.0.0` (protocol.md).
 */
import { ShoalError } from '../src/errors.ts';
import { LENT_RETRY_SECONDS, MAX_PRESENTING, PRESENT_TIMEOUT_MS, TOKEN_CHECK_MS } from '../src/limits.ts';
import type { Channel, Clock, Log, Network } from '../src/ports.ts';
import type { Asker } from '../src/protocol/admission.ts';
import {
  ADMISSION_PROTOCOL,
  decodePresented,
  encodeAdmission,
  type AdmissionRefusal,
  type Admitted,
} from '../src/protocol/admission-messages.ts';
import { within } from '../src/within.ts';
import type { RelayAdmission } from './admission.ts';
import type { TokenList } from './token-list.ts';

export interface DoorDeps {
  readonly network: Pick<Network, 'serve' | 'peers'>;
  readonly admission: Pick<RelayAdmission, 'present' | 'hold' | 'letGo' | 'held' | 'quotasOf'>;
  readonly tokens: Pick<TokenList, 'check' | 'isRevoked'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The protocol is answered as long as the network goes on. */
export class Door {
  readonly #deps: DoorDeps;
  readonly #stop = new AbortController();
  #presenting = 0;

  private constructor(deps: DoorDeps) {
    this.#deps = deps;
  }

  static async open(deps: DoorDeps): Promise<Door> {
    const door = new Door(deps);
    await deps.network.serve(ADMISSION_PROTOCOL, channel => door.#answer(channel));
    void door.#checkOften();
    return door;
  }

  /** To be told when the last connection with a peer has closed. */
  gone(peer: string): void {
    this.#deps.admission.letGo(peer);
  }

  /** Lets go of peers whose tokens were revoked meanwhile, or have expired. It is done every few seconds, too. */
  check(): void {
    const { admission, tokens, log } = this.#deps;
    const ended = new Map<string, boolean>();
    for (const [peer, { id, until }] of admission.held) {
      const isOver = ended.get(id) ?? (until <= this.#nowSeconds() || tokens.isRevoked(id));
      ended.set(id, isOver);
      if (isOver) admission.letGo(peer);
    }
    const count = [...ended.values()].filter(isOver => isOver).length;
    if (count > 0) log('info', 'tokens hold no more: they were revoked, or have expired', { count });
  }

  /** Ends what goes on by itself; who was let in stays so. */
  close(): void {
    this.#stop.abort(new ShoalError('interrupted', 'the relay stops'));
  }

  async #checkOften(): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await clock.sleep(TOKEN_CHECK_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.check();
      } catch (error) {
        // The disk may be back the next time.
        log('error', 'the list of tokens can not be read, so that none that was revoked is noticed', {
          error: (error as Error).message,
        });
      }
    }
  }

  async #answer(channel: Channel): Promise<void> {
    // Counted before anything has come: who opens channels and says nothing takes the places of others, too.
    const busy = this.#deps.admission.present(whoIs(channel));
    if (busy !== undefined || this.#presenting >= MAX_PRESENTING) {
      const detail = busy === undefined ? {} : { detail: busy.denied };
      const retryAfter = busy?.retryAfterSeconds ?? LENT_RETRY_SECONDS;
      await this.#say(channel, { type: 'refuse', reason: 'busy', retryAfter, ...detail });
      return;
    }
    this.#presenting++;
    try {
      const frames = channel.frames()[Symbol.asyncIterator]();
      const first = await within(this.#deps.clock, PRESENT_TIMEOUT_MS, frames.next());
      if (first === undefined) throw new ShoalError('protocol', 'cannot answer: no token was presented in time');
      if (first.done === true) return;
      const { token } = decodePresented(first.value.header, first.value.body.length);
      await this.#say(channel, this.#judge(channel, token));
    } finally {
      this.#presenting--;
    }
  }

  /** Lets a peer in, or says why not. */
  #judge(channel: Channel, text: string): Admitted | AdmissionRefusal {
    const { admission, tokens, network } = this.#deps;
    const token = tokens.check(text, this.#nowSeconds());
    if ('reason' in token) return { type: 'refuse', ...token };
    // Nobody would tell that it has gone when it has already.
    const isConnected = network.peers().some(({ peer }) => peer === channel.peer);
    if (!isConnected || !admission.hold(channel.peer, token))
      return { type: 'refuse', reason: 'busy', retryAfter: LENT_RETRY_SECONDS };
    const { tier, storedBytes, leaseSeconds } = admission.quotasOf(whoIs(channel));
    return { type: 'admitted', tier, until: token.until, storedBytes, leaseSeconds };
  }

  async #say(channel: Channel, answer: Admitted | AdmissionRefusal): Promise<void> {
    await channel.send(encodeAdmission(answer));
    await channel.close();
  }

  #nowSeconds(): number {
    return Math.floor(this.#deps.clock.now() / 1000);
  }
}

function whoIs({ peer, address }: Channel): Asker {
  return { peer, address };
}
