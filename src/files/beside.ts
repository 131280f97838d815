/** Writing one file beside its place, which gets it whole or not at all. */
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import { ShoalError } from '../errors.ts';
import type { OpenFile } from '../ports.ts';
import { claimPart } from './claim.ts';
import { openDirectory } from './directory.ts';
import { showName } from './names.ts';
import { OUTPUT } from './output.ts';
import { partName, removePart } from './sink.ts';

/**
 * Gives `path` what `write` puts into the file, durably. What a run that was killed has left is removed by the next one to
 * the same place.
 * @param path absolute
 * @throws ShoalError `exists` when there is something at `path`, unless `replace`; `in-use`; by `fileError`; what `write` throws
 */
export async function writeBeside(
  path: string,
  replace: boolean,
  write: (file: OpenFile) => Promise<void>,
): Promise<void> {
  const tag = createHash('sha256')
    .update(`shoal/beside\0${basename(path)}`)
    .digest('hex')
    .slice(0, 16);
  const parent = await openDirectory(dirname(path));
  try {
    if (!replace && (await parent.stat(basename(path))) !== undefined)
      throw new ShoalError(
        'exists',
        `cannot write "${showName(path)}": it exists already; choose another place, or replace it with --force`,
      );
    const inUse = (): ShoalError =>
      new ShoalError('in-use', `cannot write "${showName(path)}": another process is writing it; wait for it`);
    const { part, held } = await claimPart(parent, dirname(path), partName(tag), inUse);
    try {
      await part.remove(OUTPUT);
      const file = await part.create(OUTPUT);
      try {
        await write(file);
        await file.sync();
      } finally {
        await file.close();
      }
      await part.move(OUTPUT, parent, basename(path), replace);
      await parent.sync();
    } finally {
      await part.close();
      await removePart(parent, tag).finally(() => held.release());
    }
  } finally {
    await parent.close();
  }
}
