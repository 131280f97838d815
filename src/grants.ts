/** The grants of a home: those that it makes, and those through which it came to shares. */
import { randomBytes } from 'node:crypto';
import { systemClock } from './clock.ts';
import type { BlockId } from './format/ids.ts';
import { grant, type GrantRequest } from './grant.ts';
import type { Home } from './home.ts';
import { MAX_SEEN_GRANTS } from './limits.ts';
import type { Crypto } from './ports.ts';
import type { Relays } from './relays.ts';
import { grantIn, type Resolved, type ResolvedGrant } from './resolve.ts';
import type { Service } from './service.ts';

export interface GrantsDeps {
  readonly home: Home | undefined;
  readonly service: Service;
  readonly relays: Relays | undefined;
  readonly crypto: Pick<Crypto, 'sealGrant'>;
}

export class Grants {
  readonly #deps: GrantsDeps;
  /** Those that led to shares, by the shares, the latest last. */
  readonly #seen = new Map<BlockId, ResolvedGrant>();

  constructor(deps: GrantsDeps) {
    this.#deps = deps;
  }

  /** What an id names, by what this home has, or else by whom it can `ask`. */
  async resolve(id: BlockId, ask: () => Promise<Resolved>): Promise<Resolved> {
    const catalog = this.#deps.home?.catalog;
    const own = catalog?.grants.get(id);
    if (own !== undefined) return grantIn(id, own.block);
    if (catalog?.get(id) !== undefined) return { share: id };
    const resolved = await ask();
    if (resolved.grant !== undefined) this.#seen.set(resolved.share, resolved.grant);
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= MAX_SEEN_GRANTS) break;
      this.#seen.delete(oldest);
    }
    return resolved;
  }

  /** Makes a grant of a share of this home, which is served with it from now on. @returns its id @throws ShoalError as `grant` */
  async make(request: GrantRequest): Promise<BlockId> {
    const { crypto } = this.#deps;
    const { catalog } = this.#needHome();
    const id = await grant({ catalog, crypto, random: randomBytes, clock: systemClock }, request);
    this.#came(request.share);
    return id;
  }

  /** Keeps the grant through which a share came, once the home has the share: who looks for the one finds the other. */
  keep(share: BlockId): void {
    const seen = this.#seen.get(share);
    if (seen === undefined) return;
    const { id, block, expires } = seen;
    const createdAt = Math.floor(systemClock.now() / 1000);
    const ending = expires === undefined ? {} : { expires };
    this.#needHome().catalog.grants.add({ id, share, block, madeFor: [], createdAt, ...ending });
    this.#came(share);
  }

  #came(share: BlockId): void {
    const { home, service, relays } = this.#deps;
    home?.forgetSources();
    service.serveGrants(share);
    relays?.copies?.wantGrants(share);
  }

  #needHome(): Home {
    if (this.#deps.home === undefined) throw new Error('only a home has grants');
    return this.#deps.home;
  }
}
