/** `shoal restore`: a home again, from its backup. */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { systemClock } from '../../src/clock.ts';
import { homeFolder } from '../../src/daemon/socket.ts';
import { fileError, ShoalError } from '../../src/errors.ts';
import type { AgeSecrets } from '../../src/format/age.ts';
import { identitiesIn } from '../../src/format/identity.ts';
import { restoreHome } from '../../src/restore.ts';
import type { Surroundings } from '../context.ts';
import { givenPassphrase, type PassphraseFlags } from '../passphrase.ts';
import { pathAt } from '../paths.ts';
import { count } from '../units.ts';

export interface RestoreFlags extends PassphraseFlags {
  readonly identity?: readonly string[];
}

/** @throws ShoalError `exists` where there is a home; `wrong-key`, `malformed`, `corrupt`, `unsupported`, `newer-home`; by `fileError` */
export async function restore(context: Surroundings, file: string, flags: RestoreFlags): Promise<void> {
  const { terminal, env, signal } = context;
  const home = homeFolder(env);
  const deps = { clock: systemClock, random: randomBytes };
  const askSecrets = async (needed: 'passphrase' | 'recipients'): Promise<AgeSecrets> =>
    needed === 'passphrase' ? await passphraseFor(context, flags) : await identitiesFor(context, flags);
  const restored = await restoreHome(home, bytesOf(context, file), askSecrets, deps, signal);
  if (terminal.isJson) {
    terminal.json({ path: home, ...restored });
    return;
  }
  terminal.result(home);
  terminal.say(
    `restored ${count(restored.shares, 'share')}; where the old home is still in use, end that: two with one peer id take each other's peers away`,
  );
  if (restored.waiting > 0)
    terminal.say(
      `${count(restored.waiting, 'transfer')} ${restored.waiting === 1 ? 'waits' : 'wait'}: "shoal transfers resume ID" goes on with one, and "shoal transfers" lists them`,
    );
  if (restored.missing > 0)
    terminal.say(
      `${count(restored.missing, 'share')} can not be served: their files or blocks are not there; "shoal shares" lists them`,
    );
}

async function* bytesOf({ cwd, stdin }: Surroundings, file: string): AsyncGenerator<Uint8Array> {
  try {
    const input = file === '-' ? stdin : createReadStream(pathAt(cwd, file));
    for await (const chunk of input) yield chunk as Uint8Array;
  } catch (error) {
    throw fileError(error, 'read the backup');
  }
}

async function passphraseFor(context: Surroundings, flags: PassphraseFlags): Promise<AgeSecrets> {
  const passphrase = await givenPassphrase(context, flags, 'passphrase of the backup:');
  if (passphrase !== undefined) return { passphrase };
  throw new ShoalError(
    'usage',
    'cannot open backup: it was made with a passphrase; give that with --passphrase-file or in SHOAL_PASSPHRASE',
  );
}

async function identitiesFor({ cwd }: Surroundings, { identity = [] }: RestoreFlags): Promise<AgeSecrets> {
  if (identity.length === 0)
    throw new ShoalError(
      'usage',
      'cannot open backup: it was made for age recipients; give an identity of one with --identity',
    );
  const texts = await Promise.all(
    identity.map(async file => {
      try {
        return await readFile(pathAt(cwd, file), 'utf8');
      } catch (error) {
        throw fileError(error, 'read the identity');
      }
    }),
  );
  const identities = await Promise.all(texts.map(identitiesIn));
  return { identities: identities.flat().map(({ secret }) => secret) };
}
