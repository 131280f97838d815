/** A share's file key, sealed to chosen people: a small block beside the share, whose id leads to it (format.md §7). */
import type { Catalog } from './catalog.ts';
import { ShoalError } from './errors.ts';
import { encodeGrant } from './format/grant.ts';
import type { AgeRecipients } from './format/age.ts';
import type { BlockId } from './format/ids.ts';
import { fileKey } from './format/keys.ts';
import { ownerOf } from './format/share-block.ts';
import { OWNER_SALT_BYTES } from './limits.ts';
import type { Clock, Crypto, RandomBytes } from './ports.ts';

export interface GrantDeps {
  readonly catalog: Catalog;
  readonly crypto: Pick<Crypto, 'sealGrant'>;
  readonly random: RandomBytes;
  readonly clock: Clock;
}

export interface GrantRequest {
  readonly share: BlockId;
  readonly to: AgeRecipients;
  /** Whom it is for, as the user calls them. */
  readonly madeFor: readonly string[];
  /** Unix seconds, a full hour; as long as the share when absent. */
  readonly expires?: number | undefined;
}

/**
 * Makes a grant and notes it in the catalog. No block of the share is touched.
 * @returns its id
 * @throws ShoalError `key-missing` where the home has not got the share's key; `usage` as `sealGrant`; as the catalog does
 */
export async function grant(
  { catalog, crypto, random, clock }: GrantDeps,
  { share, to, madeFor, expires }: GrantRequest,
): Promise<BlockId> {
  const key = catalog.keyOf(share);
  if (key === undefined)
    throw new ShoalError(
      'key-missing',
      'cannot grant the share to anybody: this home carries it without the key; who gave you the link can',
    );
  const ownerSalt = random(OWNER_SALT_BYTES);
  const owner = ownerOf(catalog.ownerSeed(ownerSalt));
  const ending = expires === undefined ? {} : { expires };
  const sealed = await crypto.sealGrant(fileKey(key), { share, owner, ...ending }, to);
  const { id, bytes } = encodeGrant(sealed);
  const createdAt = Math.floor(clock.now() / 1000);
  catalog.grants.add({ id, share, block: bytes, madeFor, createdAt, ...ending }, ownerSalt);
  return id;
}
