/**
 * Shares that are served apart from all others of a home: each on a network of its own, under a peer id of its own, so that who
 * gets one can't tell by the peer id whose it is. The network is there while the share is served.
 */
import { isShoalError, ShoalError } from './errors.ts';
import type { BlockId } from './format/ids.ts';
import { MAX_APART } from './limits.ts';
import type { Log, Network } from './ports.ts';
import type { Server } from './serve.ts';

export interface ApartDeps {
  /** Starts the network of one share; where it is called again, under the same peer id. */
  readonly start: (id: BlockId) => Promise<Network>;
  /** By what it is asked for: its own id, and those of its grants. */
  readonly idsOf: (id: BlockId) => readonly BlockId[];
  /** A server of shares on a network. */
  readonly serverOn: (network: Network) => Promise<Server>;
  /** Told of each network once it is there. */
  readonly onStarted: (network: Network) => void;
  readonly log: Log;
}

/** The setting by which a home knows, of a share that it has forgotten, that it was served apart. */
export function apartMark(id: BlockId): string {
  return `apart ${id}`;
}

/** A share that is served apart, or is about to be. */
interface Place {
  /** Rejects where its network does not start. */
  readonly started: Promise<Network>;
  /** Once it is served. */
  server?: Server;
  network?: Network;
}

export class Apart {
  readonly #deps: ApartDeps;
  readonly #places = new Map<BlockId, Place>();
  /** Networks on their way out: the next one of the same share waits for its port and its peer id. */
  readonly #ending = new Map<BlockId, Promise<void>>();

  constructor(deps: ApartDeps) {
    this.#deps = deps;
  }

  /** Those that run, by the share that each is for. */
  get networks(): ReadonlyMap<BlockId, Network> {
    return new Map([...this.#places].flatMap(([id, { network }]) => (network === undefined ? [] : [[id, network]])));
  }

  /** @throws ShoalError `in-use` where there are as many as there may be */
  checkRoom(): void {
    if (this.#places.size < MAX_APART) return;
    throw new ShoalError(
      'in-use',
      `cannot serve one more share with --fresh-id: at most ${MAX_APART} are served at once, as each takes a network of its own; stop or forget another first`,
    );
  }

  /**
   * Serves a share from now on; nothing where it is served already.
   * @throws ShoalError as `checkRoom`
   */
  open(id: BlockId): void {
    if (this.#places.has(id)) return;
    this.checkRoom();
    const before = this.#ending.get(id) ?? Promise.resolve();
    const place: Place = { started: before.then(() => this.#start(id, place)) };
    this.#places.set(id, place);
    place.started.catch((error: unknown) => {
      if (this.#places.get(id) !== place) return;
      this.#places.delete(id);
      const reason = isShoalError(error) ? error.message : String(error);
      this.#deps.log('warn', 'a share is not served: the network of its own does not start', { reason });
    });
  }

  /** The network of a share that is served. @throws ShoalError as it failed to start; `interrupted` where it is served no more */
  async networkOf(id: BlockId): Promise<Network> {
    const place = this.#places.get(id);
    if (place === undefined) throw stopped();
    return await place.started;
  }

  has(id: BlockId): boolean {
    return this.#places.has(id);
  }

  /** Serves it under all ids that it has by now, where it is served. */
  addAgain(id: BlockId): void {
    const server = this.#places.get(id)?.server;
    if (server !== undefined) for (const one of this.#deps.idsOf(id)) server.add(one);
  }

  /** As `Server.withhold`. */
  withhold(id: BlockId): void {
    this.#places.get(id)?.server?.withhold(id);
  }

  /** As `Server.end`: who is being served, or asks later, is told why, as long as its network runs. */
  end(id: BlockId): void {
    this.#places.get(id)?.server?.end(id);
  }

  /** Serves it no more, and stops its network. */
  close(id: BlockId): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    place.server?.remove(id);
    const ending = place.started
      .then(
        network => network.stop(),
        // It has been said that it did not start.
        () => undefined,
      )
      .finally(() => {
        if (this.#ending.get(id) === ending) this.#ending.delete(id);
      });
    this.#ending.set(id, ending);
  }

  /** Ends all of them. */
  async stop(): Promise<void> {
    for (const id of [...this.#places.keys()]) this.close(id);
    await Promise.all(this.#ending.values());
  }

  async #start(id: BlockId, place: Place): Promise<Network> {
    const network = await this.#deps.start(id);
    try {
      const server = await this.#deps.serverOn(network);
      // Where it was closed meanwhile, the network is stopped as soon as this returns.
      if (this.#places.get(id) !== place) return network;
      Object.assign(place, { server, network });
      this.#deps.onStarted(network);
      this.addAgain(id);
      return network;
    } catch (error) {
      await network.stop();
      throw error;
    }
  }
}

function stopped(): ShoalError {
  return new ShoalError('interrupted', 'this share is not served any more');
}
