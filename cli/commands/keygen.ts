/** `shoal keygen` and `shoal identities`: age identities, by which this home's user reads what was granted. */
import { homeFolder } from '../../src/daemon/session.ts';
import { makeIdentity } from '../../src/format/identity.ts';
import { escaped } from '../../src/format/quoted.ts';
import { fingerprint } from '../../src/format/recipient.ts';
import { keepIdentity, keyFilesOf, writeIdentity, type KeyFile } from '../../src/identities.ts';
import { table, type Column } from '../columns.ts';
import { Told, type Surroundings } from '../context.ts';
import { newPassphrase, type PassphraseFlags } from '../passphrase.ts';
import { pathAt } from '../paths.ts';

export interface KeygenOptions extends PassphraseFlags {
  readonly isClassic: boolean;
  /** Of the identity in the home. */
  readonly name: string;
  /** Where it is written to, in the place of the home. */
  readonly output?: string;
}

/** @throws ShoalError `usage`, `exists`, `in-use`, `home`; by `fileError` */
export async function keygen(context: Surroundings, options: KeygenOptions): Promise<void> {
  const { terminal, env, cwd } = context;
  const { isClassic, name, output, passphrase, passphraseFile } = options;
  const isSealed = passphrase !== undefined || passphraseFile !== undefined;
  const chosen = isSealed ? await newPassphrase(context, options) : undefined;
  const identity = await makeIdentity(isClassic ? 'x25519' : 'post-quantum');
  const now = Math.floor(Date.now() / 1000);
  const to = output === undefined ? undefined : pathAt(cwd, output);
  if (to !== undefined) await writeIdentity(to, identity, chosen?.passphrase, now);
  const path = to ?? (await keepIdentity(homeFolder({ ...env }), name, identity, chosen?.passphrase, now));
  const { recipient, kind } = identity;
  const digits = fingerprint(recipient);
  if (terminal.isJson) {
    const named = output === undefined ? { name } : {};
    const generated = chosen?.isGenerated === true ? { passphrase: chosen.passphrase } : {};
    terminal.json({ ...named, path, kind, recipient, fingerprint: digits, locked: isSealed, ...generated });
    return;
  }
  terminal.result(recipient);
  if (chosen?.isGenerated === true)
    terminal.warn(`the passphrase is ${chosen.passphrase}  (it is shown this once, and kept nowhere)`);
  terminal.say(`this is the recipient (${kind}): give it to who is to grant you shares`);
  terminal.say(`fingerprint, to compare over the phone: ${digits}`);
  terminal.say(`the identity is in "${escaped(path)}"; without that file nobody can read what is granted to it`);
}

const HEADS: readonly Column[] = [
  { title: 'NAME', side: 'left' },
  { title: 'KIND', side: 'left' },
  { title: 'LOCKED', side: 'left' },
  { title: 'FINGERPRINT', side: 'left' },
  { title: 'RECIPIENT', side: 'left', shrinks: true },
];

const PROBLEM = 1;

/** @throws ShoalError `home`, `denied`, `io`; `Told` where one of them can't be used */
export async function identities({ terminal, env }: Surroundings): Promise<void> {
  const files = await keyFilesOf(homeFolder({ ...env }));
  const views = files.flatMap(viewsOf);
  const problems = files.flatMap(({ problem }) => (problem === undefined ? [] : [problem.message]));
  if (terminal.isJson) terminal.json({ identities: views, problems });
  else {
    if (files.length === 0) terminal.say('this home has no identity; "shoal keygen" makes one');
    const rows = views.map(one => [
      one.name,
      one.kind ?? '?',
      one.locked ? 'yes' : 'no',
      one.fingerprint ?? '?',
      one.recipient ?? '? (its .pub file is not there)',
    ]);
    if (rows.length > 0) terminal.results(table(HEADS, rows, terminal.columns));
    for (const problem of problems) terminal.warn(problem);
  }
  if (problems.length > 0) throw new Told(PROBLEM);
}

interface View {
  readonly name: string;
  readonly path: string;
  readonly kind?: string;
  readonly recipient?: string;
  readonly fingerprint?: string;
  readonly locked: boolean;
}

/** A file may have several. */
function viewsOf({ name = '', path, identities: found, sealed, recipient, kind, problem }: KeyFile): View[] {
  if (problem !== undefined) return [];
  if (sealed === undefined)
    return found.map(one => ({ name, path, ...publicOf(one.recipient, one.kind), locked: false }));
  const known = recipient === undefined || kind === undefined ? {} : publicOf(recipient, kind);
  return [{ name, path, ...known, locked: true }];
}

function publicOf(recipient: string, kind: string): Pick<View, 'kind' | 'recipient' | 'fingerprint'> {
  return { kind, recipient, fingerprint: fingerprint(recipient) };
}
