/** From a link as it is given to one that reads: where it is of a grant, by an identity or a passphrase that opens it. */
import { homeFolder } from '../src/daemon/session.ts';
import { isShoalError, ShoalError } from '../src/errors.ts';
import { decodeGrant, type Grant } from '../src/format/grant.ts';
import type { AgeKind } from '../src/format/age.ts';
import { idOf, sha256 } from '../src/format/ids.ts';
import type { Identity } from '../src/format/identity.ts';
import type { FileKey } from '../src/format/keys.ts';
import { formatLink, parseLink } from '../src/format/link.ts';
import { escaped } from '../src/format/quoted.ts';
import type { KeyFile } from '../src/identities.ts';
import { PASSPHRASE_TRIES } from '../src/limits.ts';
import { keyOf } from '../src/open.ts';
import { linkOf, timeoutOf, type Context } from './context.ts';
import { givenPassphrase, type PassphraseFlags } from './passphrase.ts';
import { pathAt } from './paths.ts';
import { showLine } from './progress.ts';

/** What is given to open grants with. */
export interface AccessFlags extends PassphraseFlags {
  /** Files of identities; those of the home where absent. */
  readonly identity?: readonly string[];
  /** Milliseconds; Infinity for never. */
  readonly timeout?: number;
}

/**
 * The link that a command is about, with its key.
 * @param argument as `linkOf` takes it
 * @throws ShoalError as by `linkOf` and `readLinkOf`
 */
export async function givenLink(context: Context, argument: string | undefined, flags: AccessFlags): Promise<string> {
  if (argument === '-' && flags.passphraseFile === '-')
    throw new ShoalError(
      'usage',
      'cannot read both the link and the passphrase from stdin; give one of them in another way',
    );
  return await readLinkOf(context, await linkOf(context, argument), flags);
}

/**
 * A link that has its key, as it is; of a grant, the link of its share, with the key that is sealed in it.
 * @throws ShoalError `wrong-key` where nothing that is given opens the grant, saying what it was made for; `key-missing` where the
 *   link is of a share, and has no key; `malformed`, `mismatch`, `usage`; as the action `resolve`
 */
export async function readLinkOf(context: Context, text: string, flags: AccessFlags): Promise<string> {
  const link = parseLink(text);
  if (link.key !== undefined) return text;
  const grant = await grantOf(context, text, flags);
  const key = grant === undefined ? keyOf(link) : await openedKey(context, grant, flags);
  return formatLink({ id: grant?.share ?? link.id, key, hints: link.hints });
}

/** The grant that a link is of; undefined where it is of a share. */
async function grantOf(context: Context, link: string, flags: AccessFlags): Promise<Grant | undefined> {
  const { terminal, performer, signal } = context;
  let waitingFor = terminal.isLive ? 'looking for peers' : '';
  const line = showLine(terminal, () => waitingFor);
  const request = { link, ...timeoutOf(terminal, flags.timeout) };
  const { grant } = await performer
    .run(
      'resolve',
      request,
      event => {
        if (event.event === 'waiting') waitingFor = event.why;
      },
      signal,
    )
    .finally(() => line.stop());
  if (grant === undefined) return undefined;
  const block = Buffer.from(grant.block, 'base64');
  if (idOf(sha256(block)) !== parseLink(link).id)
    throw new ShoalError('mismatch', 'cannot open the grant: what came is not the one that the link names; try again');
  return decodeGrant(block);
}

async function openedKey(context: Context, grant: Grant, flags: AccessFlags): Promise<FileKey> {
  // Few links are of grants, and what opens them takes a while to load.
  const { kindsOf, openGrant } = await import('../src/format/grant-seal.ts');
  const { kindWords } = await import('../src/format/age.ts');
  const kinds = await kindsOf(grant);
  const ask = passphrases(context, flags);
  if (kinds.includes('passphrase')) {
    const key = await ask('passphrase of the grant:', passphrase => openGrant(grant, { passphrase }));
    if (key !== undefined) return key;
    throw new ShoalError(
      'wrong-key',
      'cannot open the grant: it was made for a passphrase, and none is given; give it with --passphrase-file or in SHOAL_PASSPHRASE, or run the command on a terminal',
    );
  }
  const opened = (identities: readonly Identity[]): Promise<FileKey | undefined> =>
    openGrant(grant, { identities: identities.map(({ secret }) => secret) }).catch(unlessOther);
  const files = await keyFiles(context, flags, kinds);
  const key = await opened(files.flatMap(({ identities }) => identities));
  if (key !== undefined) return key;
  const locked = files.filter(({ sealed }) => sealed !== undefined);
  const { unlock } = await import('../src/identities.ts');
  const notUnlocked: KeyFile[] = [];
  let isTried = false;
  for (const file of locked) {
    const identities = await ask(`passphrase of ${namesOf([file])}:`, passphrase => {
      isTried = true;
      return unlock(file, passphrase);
    }).catch(unlessOther);
    const found = identities && (await opened(identities));
    if (found !== undefined) return found;
    if (identities === undefined) notUnlocked.push(file);
  }
  const whose = flags.identity === undefined ? 'of this home' : 'given';
  const why =
    files.length === 0
      ? 'this home has no identity that could be one of theirs; give the file of one with --identity'
      : notUnlocked.length === 0
        ? `none of the identities ${whose} is one of theirs; give another with --identity, or ask the sharer whom it is for`
        : `no identity ${whose} that is not locked is one of theirs; ${lockedWords(notUnlocked, isTried)}`;
  throw new ShoalError('wrong-key', `cannot open the grant: it was made for ${kindWords(kinds)}, and ${why}`);
}

function lockedWords(files: readonly KeyFile[], isTried: boolean): string {
  return isTried
    ? `the passphrase given is not that of ${namesOf(files)}`
    : `the passphrase of ${namesOf(files)} can be given with --passphrase-file or in SHOAL_PASSPHRASE, or on a terminal`;
}

/** Of a secret that is another one, that it opens nothing. */
function unlessOther(error: unknown): undefined {
  if (!isShoalError(error, 'wrong-key')) throw error;
}

/** The files that may open a grant, of those that are named, or else of the home. What can't be used is said. */
async function keyFiles(
  { terminal, cwd, env }: Context,
  { identity }: AccessFlags,
  kinds: readonly AgeKind[],
): Promise<KeyFile[]> {
  const { keyFileAt, keyFilesOf } = await import('../src/identities.ts');
  if (identity !== undefined) {
    const files: KeyFile[] = [];
    for (const path of identity) files.push(await keyFileAt(pathAt(cwd, path)));
    for (const { path, isOpen } of files)
      if (isOpen)
        terminal.say(`others may read the identity file "${escaped(path)}"; if they did not, run: chmod 600 FILE`);
    return files;
  }
  const files = await keyFilesOf(homeFolder({ ...env }));
  for (const { problem } of files) if (problem !== undefined) terminal.warn(problem.message);
  return files.filter(
    ({ problem, sealed, kind }) =>
      problem === undefined && (sealed === undefined || kind === undefined || kinds.includes(kind)),
  );
}

/** Tries passphrases: the one that is given, or what somebody types, who may try again; undefined where there is neither. */
type Ask = <T>(prompt: string, use: (passphrase: string) => Promise<T>) => Promise<T | undefined>;

function passphrases(context: Context, flags: PassphraseFlags): Ask {
  const isWritten =
    flags.passphraseFile !== undefined || (flags.passphrase !== 'ask' && !!context.env['SHOAL_PASSPHRASE']);
  // It may stand on stdin, which can be read once.
  let written: Promise<string | undefined> | undefined;
  return async (prompt, use) => {
    for (let left = isWritten ? 0 : PASSPHRASE_TRIES - 1; ; left--) {
      const passphrase = await (isWritten
        ? (written ??= givenPassphrase(context, flags, prompt))
        : givenPassphrase(context, flags, prompt));
      if (passphrase === undefined) return undefined;
      try {
        return await use(passphrase);
      } catch (error) {
        if (left <= 0 || !isShoalError(error, 'wrong-key')) throw error;
        context.terminal.warn('this passphrase does not open it; try again');
      }
    }
  };
}

function namesOf(files: readonly KeyFile[]): string {
  return files
    .map(({ name, path }) => (name === undefined ? `"${escaped(path)}"` : `the identity "${name}"`))
    .join(', ');
}
