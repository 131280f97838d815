/** Writing one file beside its place, which gets it whole or not at all. */
import { basename, dirname } from 'node:path';
import { fileError, ShoalError } from '../errors.ts';
import type { OpenFile } from '../ports.ts';
import { existsError, openDirectory } from './directory.ts';
import { showName } from './names.ts';
import { OUTPUT } from './output.ts';
import { claimPart, removePart, tagOf } from './part.ts';

/**
 * Gives `path` what `write` puts into the file, durably. What a run that was killed has left is removed by the next one to
 * the same place.
 * @param path absolute
 * @param options `ownerOnly`: nobody else may read it, whatever the umask says
 * @throws ShoalError `exists` when there is something at `path`, unless `replace`; `in-use`; by `fileError`; what `write` throws
 */
export async function writeBeside(
  path: string,
  replace: boolean,
  write: (file: OpenFile) => Promise<void>,
  options: { readonly ownerOnly?: boolean } = {},
): Promise<void> {
  const tag = tagOf('shoal/beside', basename(path));
  const parent = await openDirectory(dirname(path));
  try {
    if (!replace && (await parent.stat(basename(path))) !== undefined)
      throw fileError(existsError(), `write "${showName(path)}"`);
    const inUse = (): ShoalError =>
      new ShoalError('in-use', `cannot write "${showName(path)}": another process is writing it; wait for it`);
    const { part, held } = await claimPart(parent, dirname(path), tag, inUse);
    try {
      await part.remove(OUTPUT);
      const file = await part.create(OUTPUT, options);
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
