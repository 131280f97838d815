/** Where a home is, and where the process that holds it listens. */
import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { fileError, ShoalError } from '../errors.ts';

/** The home's folder: SHOAL_HOME, or the user's data folder (XDG Base Directory Specification; the like elsewhere). */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  const chosen = env['SHOAL_HOME'];
  return chosen === undefined || chosen === '' ? envPaths('shoal', { suffix: '' }).data : resolve(chosen);
}

/**
 * The Unix socket of a home: in the runtime folder, under a name hashed from the home, as a socket's path is short (108
 * bytes on Linux, 104 elsewhere). The runtime folder is this user's alone.
 * @throws ShoalError `denied` when the runtime folder belongs to somebody else or is open to others
 */
export async function socketPath(home: string, env: NodeJS.ProcessEnv): Promise<string> {
  const folder = join(env['XDG_RUNTIME_DIR'] || tmpdir(), `shoal-${userInfo().uid}`);
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(error, `make the runtime folder "${folder}"`);
  });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) {
    throw new ShoalError(
      'denied',
      `cannot use the runtime folder "${folder}": others may enter it, or it belongs to somebody else; remove it or set XDG_RUNTIME_DIR to a folder of your own`,
    );
  }
  return join(folder, `${createHash('sha256').update(resolve(home)).digest('hex').slice(0, 24)}.sock`);
}

/** Where the process that listens at a socket has noted its number: one that does not answer can't be asked for it. */
export function pidPath(socket: string): string {
  return `${socket}.pid`;
}
