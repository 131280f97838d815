/** Where a relay's configuration and data are, and what every relay has in its data folder: its key, and the lock of who runs it. */
import { hkdfSync, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { fileError, ShoalError } from '../src/errors.ts';
import { makeFolders } from '../src/files/folders.ts';
import { lock, type Lock } from '../src/files/lock.ts';
import { showName } from '../src/files/names.ts';
import { makePrivate, readPrivate } from '../src/files/private.ts';
import type { RandomBytes } from '../src/ports.ts';
import type { AdminListen, RelayConfig } from './config.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Where a relay's files are: absolute paths. */
export interface RelayPlace {
  readonly configPath: string;
  /** Where the configuration does not say another one. */
  readonly dataFolder: string;
}

/** A data folder that is there. */
export interface RelayFolder {
  /** Absolute. */
  readonly path: string;
  /** The Ed25519 seed of the relay's peer key, with which it signs: 32 bytes. */
  readonly seed: Uint8Array;
}

/**
 * By --config and SHOAL_RELAY_HOME, which has both; else where a server of the system has them, for root, or the user's
 * folders (XDG; the like elsewhere).
 * @param config as it was given with --config
 */
export function relayPlace(config: string | undefined, env: Env, cwd: string, isRoot: boolean): RelayPlace {
  const home = env['SHOAL_RELAY_HOME'];
  const own = envPaths('shoal-relay', { suffix: '' });
  const [configFolder, dataFolder] = home
    ? [resolve(cwd, home), resolve(cwd, home)]
    : isRoot
      ? ['/etc/shoal-relay', '/var/lib/shoal-relay']
      : [own.config, own.data];
  return { configPath: config === undefined ? join(configFolder, 'config.toml') : resolve(cwd, config), dataFolder };
}

/** The data folder of a configuration that stands at a place. */
export function dataFolderOf(config: RelayConfig, place: RelayPlace): string {
  return config.relay.data === undefined ? place.dataFolder : fromConfig(place, config.relay.data);
}

/** A path in the configuration; relative ones go from the folder that the file is in. */
export function fromConfig({ configPath }: RelayPlace, path: string): string {
  return resolve(dirname(configPath), path);
}

/** Where the admin listener is, and the file of its token where it needs one. */
export function adminOf(
  config: RelayConfig,
  place: RelayPlace,
): { readonly listen: AdminListen; readonly tokenFile: string } {
  const data = dataFolderOf(config, place);
  const { listen = { kind: 'socket', path: join(data, 'admin.sock') }, token_file } = config.admin;
  const tokenFile = token_file === undefined ? join(data, 'admin-token') : fromConfig(place, token_file);
  return { listen: listen.kind === 'socket' ? { ...listen, path: fromConfig(place, listen.path) } : listen, tokenFile };
}

const KEY_FILE = 'key';
const SEED_BYTES = 32;
const HEADER = 'shoal relay key 1: whoever reads the next line can pass for this relay';
const KEY_PATTERN = new RegExp(`^${HEADER}\n([0-9a-f]{${2 * SEED_BYTES}})\n$`);

/**
 * Makes the data folder, for its user only, and the key in it, where they are missing.
 * @throws ShoalError `home` where others may enter the folder or read the key; `denied`, `disk-full`, `io`
 */
export async function makeRelayFolder(path: string, random: RandomBytes): Promise<RelayFolder> {
  await makeFolders(path, 0o700).catch((error: unknown) => {
    throw fileError(error, `make the data folder "${showName(path)}"`);
  });
  await checkFolder(path);
  const keyPath = join(path, KEY_FILE);
  try {
    if ((await readSeed(keyPath)) === undefined)
      await makePrivate(keyPath, `${HEADER}\n${Buffer.from(random(SEED_BYTES)).toString('hex')}\n`);
  } catch (error) {
    throw fileError(error, `make the relay's key "${showName(keyPath)}"`);
  }
  return await openRelayFolder(path);
}

/** @throws ShoalError `home` where there is none, others may enter it, or read its key; `denied`, `io` */
export async function openRelayFolder(path: string): Promise<RelayFolder> {
  await checkFolder(path);
  const keyPath = join(path, KEY_FILE);
  try {
    const seed = await readSeed(keyPath);
    if (seed !== undefined) return { path, seed };
  } catch (error) {
    throw fileError(error, `use the relay's key "${showName(keyPath)}"`);
  }
  throw new ShoalError(
    'home',
    `cannot use the data folder "${showName(path)}": it has no key; "shoal-relay init" makes one`,
  );
}

/**
 * Takes a data folder for a relay that is about to run.
 * @throws ShoalError `in-use` where one runs already; `denied`, `io`
 */
export async function takeRelayFolder({ path }: RelayFolder): Promise<Lock> {
  const held = await lock(join(path, 'lock'));
  if (held !== undefined) return held;
  throw new ShoalError(
    'in-use',
    `cannot run a relay in "${showName(path)}": one runs there already; end it first, or choose another folder`,
  );
}

/** The secret by which address prefixes are hidden in the names of accounts: 32 bytes. */
export function accountSecret(seed: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', seed, new Uint8Array(), 'shoal/relay/accounts', 32));
}

const ADMIN_TOKEN = /^[A-Za-z0-9_-]{43}\n$/;

/**
 * The token that the admin listener wants where it has a port; made when it is first needed.
 * @throws ShoalError `home` where others may read its file, or it is something else; `denied`, `disk-full`, `io`
 */
export async function loadAdminToken(path: string): Promise<string> {
  const unusable = (why: string): ShoalError =>
    new ShoalError(
      'home',
      `cannot use the admin token "${showName(path)}": ${why}; remove the file for a new token, then start the relay again`,
    );
  const read = (): Promise<string | undefined> =>
    readPrivate(path, why => unusable(why === 'other' ? 'it holds no token' : 'others may read it'));
  try {
    let text = await read();
    if (text === undefined) await makePrivate(path, `${randomBytes(32).toString('base64url')}\n`);
    // Where another process was quicker, its token holds.
    text ??= await read();
    if (text === undefined || !ADMIN_TOKEN.test(text)) throw unusable('it holds no token');
    return text.trim();
  } catch (error) {
    throw fileError(error, `use the admin token "${showName(path)}"`);
  }
}

/** @throws ShoalError `home`, `denied`, `io` */
async function checkFolder(path: string): Promise<void> {
  const shown = showName(path);
  const found = await stat(path).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new ShoalError(
        'home',
        `cannot use the data folder "${shown}": it is not there; "shoal-relay init" makes it`,
      );
    throw fileError(error, `look at the data folder "${shown}"`);
  });
  if (!found.isDirectory())
    throw new ShoalError('home', `cannot use "${shown}" as the data folder: it is no folder; choose another one`);
  if (process.platform === 'win32' || (found.mode & 0o077) === 0) return;
  throw new ShoalError(
    'home',
    `cannot use the data folder "${shown}": others may enter it; if they did not, run: chmod 700 '${shown}'`,
  );
}

/** undefined where there is no key. */
async function readSeed(path: string): Promise<Uint8Array | undefined> {
  const shown = showName(path);
  const unusable = (why: string): ShoalError => new ShoalError('home', `cannot use the relay's key "${shown}": ${why}`);
  const damaged =
    'it is damaged; restore it from a backup, or move it away for a new one, as which peers will not know the relay';
  const text = await readPrivate(path, why =>
    unusable(why === 'other' ? damaged : `others may read it; if they did not, run: chmod 600 '${shown}'`),
  );
  if (text === undefined) return undefined;
  const [, hex] = KEY_PATTERN.exec(text) ?? [];
  if (hex === undefined) throw unusable(damaged);
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
