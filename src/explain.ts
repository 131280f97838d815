/** How a fetch went, stage by stage: computed from what happens, with times. Whoever fetches knows nothing of it. */
import type { FetchEvent } from './fetch.ts';
import type { Hint } from './format/hint.ts';
import { isShoalError } from './errors.ts';
import { MAX_CANDIDATES, MAX_EXPLAINED_PEERS } from './limits.ts';
import type { Clock, FoundVia, NetworkStatus } from './ports.ts';
import type { Ending } from './protocol/swarm.ts';
import { counted, nextStep, tallyOf, type Step } from './search.ts';

/** In the order in which a fetch comes through them; the first three go on side by side. */
const STAGES = [
  'hint',
  'mDNS',
  'DHT',
  'dial',
  'proof',
  'share block',
  'manifest',
  'first chunk',
  'last chunk',
  'on disk',
] as const;
export type StageName = (typeof STAGES)[number];

export interface Stage {
  readonly stage: StageName;
  /** `off`: not used. `open`: it was not over when the fetch ended, and nobody waited for it. `none`: never begun. */
  readonly state: 'done' | 'failed' | 'off' | 'open' | 'none';
  /** Milliseconds since the fetch began. */
  readonly beganMs?: number;
  readonly endedMs?: number;
  readonly outcome: string;
}

export interface Explained {
  readonly stages: readonly Stage[];
  /** The stage at which it failed; `search` where nobody was found. */
  readonly failed?: StageName | 'search';
  /** What to do now. */
  readonly next?: string;
}

/** These have to do with the place of the output, whenever they turn up. */
const OF_THE_PLACE = ['exists', 'in-use', 'disk-full', 'denied', 'bad-name', 'io'] as const;

interface Known {
  readonly via: Set<FoundVia>;
  readonly addresses: Set<string>;
  reached: boolean;
  /** Only through a relay, when it was reached last. */
  isRelayed: boolean;
  proved: boolean;
  ending: Ending | undefined;
  /** In the words of the network. */
  detail: string;
}

/** The stages of one fetch. */
export class Explanation {
  readonly #clock: Clock;
  readonly #hints: number;
  readonly #status: () => NetworkStatus | undefined;
  readonly #startMs: number;
  readonly #began = new Map<StageName, number>();
  readonly #ended = new Map<StageName, number>();
  readonly #peers = new Map<string, Known>();
  /** Told by the events, where they have something to tell. */
  readonly #outcomes = new Map<StageName, string>();
  #nodesAsked = 0;
  #isDone = false;

  /** Begins now. @param status of the network, undefined without one */
  constructor(clock: Clock, hints: readonly Hint[], status: () => NetworkStatus | undefined) {
    this.#clock = clock;
    this.#hints = hints.filter(({ kind }) => kind === 'multiaddr').length;
    this.#status = status;
    this.#startMs = clock.monotonic();
    for (const stage of ['hint', 'mDNS', 'DHT'] as const) this.#begin(stage);
  }

  onStep(step: Step): void {
    if (step.step === 'asked') {
      this.#nodesAsked = step.nodes;
      return;
    }
    const peer = this.#peer(step.peer);
    switch (step.step) {
      case 'heard':
        peer.via.add(step.via);
        for (const address of step.addresses.slice(0, MAX_EXPLAINED_PEERS)) peer.addresses.add(address);
        if (step.via === 'mdns') this.#end('mDNS');
        if (step.via === 'dht') this.#end('DHT');
        break;
      case 'dialling':
        this.#begin('dial');
        break;
      case 'reached':
        peer.reached = true;
        peer.isRelayed = step.path === 'relay';
        this.#end('dial');
        this.#begin('proof');
        if (peer.via.has('hint')) this.#end('hint');
        break;
      case 'proved':
        peer.proved = true;
        this.#end('proof');
        this.#begin('share block');
        break;
      case 'lacks':
        break;
      case 'ended':
        peer.ending = step.ending;
        peer.detail = step.detail;
        break;
    }
  }

  onEvent(event: FetchEvent): void {
    switch (event.event) {
      case 'found':
        if (event.via === 'local') this.#begin('share block', 0);
        this.#outcome('share block', event.via === 'local' ? 'this home has it' : 'from a peer');
        this.#end('share block');
        this.#begin('manifest');
        break;
      case 'opened':
        this.#outcome('share block', 'kept by an earlier run');
        this.#end('manifest');
        this.#outcome(
          'manifest',
          `${event.kind}, ${counted(event.files, 'file')}, ${counted(event.sizeBytes, 'byte')}`,
        );
        this.#begin('first chunk');
        break;
      case 'resumed':
        this.#outcome('first chunk', `${counted(event.bytes, 'byte')} were here already`);
        break;
      case 'progress':
        this.#outcome('first chunk', `${counted(event.peers, 'source')} at work`);
        this.#end('first chunk');
        this.#begin('last chunk');
        this.#outcomes.set('last chunk', `${event.doneBytes} of ${counted(event.totalBytes, 'byte')}`);
        if (event.doneBytes === event.totalBytes) this.#end('last chunk');
        break;
      case 'finishing':
        this.#outcome('first chunk', 'none was missing');
        this.#begin('on disk');
        break;
      default:
        break;
    }
  }

  /** The fetch is complete. */
  done(alreadyThere: boolean): void {
    this.#isDone = true;
    if (alreadyThere) this.#outcome('on disk', 'there before, verified');
    this.#begin('on disk');
    this.#end('on disk');
    this.#outcome('on disk', 'in its place, durable');
  }

  /** @param error that the fetch failed with */
  stages(error?: unknown): Explained {
    const status = this.#status();
    const failed = this.#isDone ? undefined : this.#failedAt(error);
    const stages = STAGES.map(stage => this.#stage(stage, failed, status, error));
    if (failed === undefined) return { stages };
    const endings = [...this.#peers.values()].flatMap(({ ending }) => ending ?? []);
    const isSearch = failed === 'search' || failed === 'dial' || failed === 'proof' || failed === 'share block';
    const next = isSearch ? nextStep(endings, this.#peers.size, { hints: this.#hints, status }) : undefined;
    return { stages, failed, ...(next === undefined ? {} : { next }) };
  }

  #failedAt(error: unknown): StageName | 'search' {
    if (OF_THE_PLACE.some(code => isShoalError(error, code))) return 'on disk';
    const isFound = this.#ended.has('share block') || this.#ended.has('manifest');
    if (!isFound && this.#peers.size === 0) return 'search';
    const after = STAGES.slice(isFound ? STAGES.indexOf('manifest') : STAGES.indexOf('dial'));
    return after.find(stage => !this.#ended.has(stage)) ?? 'on disk';
  }

  #stage(
    stage: StageName,
    failed: StageName | 'search' | undefined,
    status: NetworkStatus | undefined,
    error: unknown,
  ): Stage {
    const isOff = this.#isOff(stage, status);
    const beganMs = isOff ? undefined : this.#began.get(stage);
    const endedMs = isOff ? undefined : this.#ended.get(stage);
    const isSearch = stage === 'hint' || stage === 'mDNS' || stage === 'DHT';
    const isFailed = stage === failed || (failed === 'search' && isSearch);
    const state = isOff
      ? 'off'
      : endedMs !== undefined
        ? 'done'
        : isFailed
          ? 'failed'
          : beganMs === undefined
            ? 'none'
            : 'open';
    const outcome = isOff ? (stage === 'hint' ? 'the link has none' : 'off') : this.#outcomeOf(stage, state, error);
    return {
      stage,
      state,
      ...(beganMs === undefined ? {} : { beganMs }),
      ...(endedMs === undefined ? {} : { endedMs }),
      outcome,
    };
  }

  #isOff(stage: StageName, status: NetworkStatus | undefined): boolean {
    if (stage === 'hint') return this.#hints === 0;
    if (stage === 'mDNS') return status?.lanPeers === undefined;
    return stage === 'DHT' && status?.dhtPeers === undefined;
  }

  #outcomeOf(stage: StageName, state: Stage['state'], error: unknown): string {
    const peers = [...this.#peers.values()];
    if (state === 'none') return '';
    switch (stage) {
      case 'hint': {
        const answered = peers.filter(({ via, reached }) => via.has('hint') && reached).length;
        return `${counted(this.#hints, 'address', 'addresses')}, ${answered} answered`;
      }
      case 'mDNS': {
        const found = peers.filter(({ via }) => via.has('mdns')).length;
        return found === 0 ? 'nobody answered' : `${counted(found, 'peer')}${this.#after('mDNS')}`;
      }
      case 'DHT': {
        const found = peers.filter(({ via }) => via.has('dht')).length;
        const asked = this.#nodesAsked === 0 ? 'no node answered' : `${counted(this.#nodesAsked, 'node')} asked`;
        if (found === 0) return this.#nodesAsked === 0 ? asked : `${asked}, none had it`;
        return `${asked}, ${counted(found, 'peer')}${this.#after('DHT')}`;
      }
      case 'dial': {
        const tried = peers.filter(({ reached, ending }) => reached || ending !== undefined);
        const reached = peers.filter(peer => peer.reached).length;
        const relayed = peers.filter(({ isRelayed }) => isRelayed).length;
        const how = relayed === 0 ? '' : `, ${relayed} through a relay`;
        const said = `${counted(tried.length, 'peer')} tried, ${reached} reached${how}`;
        return [said, ...whyUnreachable(tried)].join('; ');
      }
      case 'proof': {
        const reached = peers.filter(peer => peer.reached);
        const proved = reached.filter(peer => peer.proved).length;
        const others = tallyOf(reached.flatMap(peer => (peer.proved ? [] : (peer.ending ?? []))));
        return `${proved} of ${counted(reached.length, 'peer')} ${proved === 1 ? 'has' : 'have'} it${others === '' ? '' : `; ${others}`}`;
      }
      default: {
        const said = this.#outcomes.get(stage) ?? '';
        if (state !== 'failed') return said;
        const why = isShoalError(error) ? error.code : 'internal error';
        return said === '' ? why : `${said}; ${why}`;
      }
    }
  }

  #after(stage: StageName): string {
    const ms = this.#ended.get(stage);
    return ms === undefined ? '' : ` after ${(ms / 1000).toFixed(2)} s`;
  }

  #peer(peer: string): Known {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const fresh = { via: new Set<FoundVia>(), addresses: new Set<string>(), reached: false, isRelayed: false };
    const added: Known = { ...fresh, proved: false, ending: undefined, detail: '' };
    if (this.#peers.size < MAX_CANDIDATES) this.#peers.set(peer, added);
    return added;
  }

  #begin(stage: StageName, ms = this.#now()): void {
    if (!this.#began.has(stage)) this.#began.set(stage, ms);
  }

  #end(stage: StageName): void {
    if (!this.#ended.has(stage)) this.#ended.set(stage, this.#now());
  }

  /** Whole milliseconds since the beginning. */
  #now(): number {
    return Math.round(this.#clock.monotonic() - this.#startMs);
  }

  /** The first one counts. */
  #outcome(stage: StageName, text: string): void {
    if (!this.#outcomes.has(stage)) this.#outcomes.set(stage, text);
  }
}

/** Of the first few peers that could not be reached: their addresses, and why. */
function whyUnreachable(peers: readonly Known[]): string[] {
  const unreachable = peers.filter(({ reached, ending }) => !reached && ending !== undefined);
  const shown = unreachable.slice(0, MAX_EXPLAINED_PEERS).map(({ addresses, detail }) => {
    const at = addresses.size === 0 ? 'a peer whose addresses nobody told' : [...addresses].map(shortened).join(', ');
    return `${at}: ${detail.replace(/^cannot (?:reach|open a channel to) peer \S+: /, '')}`;
  });
  const more = unreachable.length - shown.length;
  return more > 0 ? [...shown, `and ${more} more`] : shown;
}

/** The peer id at the end of an address says nothing here. */
function shortened(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '');
}
