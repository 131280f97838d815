/** The tie between a share block and its one key (format.md §3). */
import { ShoalError } from '../errors.ts';
import { idOf, sameBytes, sha256, type BlockId } from './ids.ts';
import { commitmentOf, type FileKey } from './keys.ts';
import { encodeShareBlock, type ShareBlock } from './share-block.ts';

/** Makes a share block that opens under `key` only. */
export function sealShareBlock(
  key: FileKey,
  block: Omit<ShareBlock, 'commitment'>,
): { id: BlockId; bytes: Uint8Array } {
  const bytes = encodeShareBlock({ ...block, commitment: commitmentOf(key, encodeShareBlock(block)) });
  return { id: idOf(sha256(bytes)), bytes };
}

/**
 * Checks that a share block was made by who has `key`; to be done before anything is decrypted. Takes constant time.
 * @throws ShoalError `wrong-key`
 */
export function checkCommitment(key: FileKey, block: ShareBlock): void {
  const { commitment, ...rest } = block;
  if (!sameBytes(commitment, commitmentOf(key, encodeShareBlock(rest)))) {
    throw new ShoalError(
      'wrong-key',
      'cannot open the share: the key does not belong to it; ask for the link again, it may have been mixed up or changed on its way',
    );
  }
}
