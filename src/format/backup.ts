/** What is in a backup of a home: a closed list of names, and how much each may hold (docs/decisions/0022). */
import { ShoalError } from '../errors.ts';
import { MAX_BACKUP_CATALOG_BYTES, MAX_BACKUP_TEXT_BYTES, MAX_BLOCK_BYTES } from '../limits.ts';
import { malformed } from './canonical.ts';
import { idProblem } from './ids.ts';
import { quoted } from './quoted.ts';

export const BACKUP = 'backup';

/** The first file, which says what the others are. */
export const ABOUT = 'about.txt';
/** Files that are in every backup. */
export const SECRET = 'secret';
export const CATALOG = 'catalog.sqlite';
export const CONFIG = 'config.toml';
export const IDENTITIES = 'identities';
export const BLOCKS = 'blocks';

const VERSION = 1;

/** The content of the first file. @param program what makes the backup, as in `shoal 1.0.0` */
export function aboutText(program: string): string {
  return `shoal backup ${VERSION}\nmade by ${program}\n`;
}

/** @throws ShoalError `unsupported` for a later version, `malformed` for anything else that is none */
export function checkAbout(text: string): void {
  const [, version] = /^shoal backup ([1-9][0-9]{0,5})\n/.exec(text) ?? [];
  if (version === undefined) throw malformed(BACKUP, 'it is sealed, but what is in it is no backup of a home');
  if (Number(version) === VERSION) return;
  throw new ShoalError(
    'unsupported',
    `cannot decode ${BACKUP}: it is of version ${version}, which needs a newer program; update shoal`,
  );
}

/** No path, nothing hidden, and nothing that a terminal would act on. */
const IDENTITY_NAME = /^[^\p{C}/\\.][^\p{C}/\\]*\.(?:txt|age|pub)$/u;

/** Whether a file of the folder of identities goes into a backup. */
export function isIdentityFile(name: string): boolean {
  return IDENTITY_NAME.test(name);
}

/** Blocks that a share is opened by, without those of its data. */
const BLOCK_NAME = /^(?:share|(?:data|manifest)-index-[0-9]{1,12}|manifest-[0-9]{1,12}\/[0-9]{1,15})$/;

/**
 * The segments of a file's path in the home.
 * @param name as it stands in the backup
 * @throws ShoalError `malformed` for a name that no backup has, or more bytes than it may have
 */
export function placeIn(name: string, sizeBytes: number): readonly string[] {
  const segments = name.split('/');
  const most = mostBytes(name, segments);
  if (most === undefined) throw malformed(BACKUP, `it holds ${quoted(name)}, which is in no backup`);
  if (sizeBytes > most) throw malformed(BACKUP, `${quoted(name)} in it has ${sizeBytes} bytes, and at most ${most}`);
  return segments;
}

function mostBytes(name: string, [folder, id = '', ...rest]: readonly string[]): number | undefined {
  if (name === ABOUT || name === SECRET || name === CONFIG) return MAX_BACKUP_TEXT_BYTES;
  if (name === CATALOG) return MAX_BACKUP_CATALOG_BYTES;
  if (folder === IDENTITIES) return rest.length === 0 && isIdentityFile(id) ? MAX_BACKUP_TEXT_BYTES : undefined;
  const isBlock = folder === BLOCKS && idProblem(id) === undefined && BLOCK_NAME.test(rest.join('/'));
  return isBlock ? MAX_BLOCK_BYTES : undefined;
}
