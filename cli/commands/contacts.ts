/** `shoal contacts`: an address book of recipients. */
import type { Results } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import { quoted } from '../../src/format/quoted.ts';
import { contactName } from '../../src/format/recipient.ts';
import { fieldLines, table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { formatDate } from '../units.ts';

type Contact = Results['addContact'];

const HEADS: readonly Column[] = [
  { title: 'NAME', side: 'left', shrinks: true },
  { title: 'KIND', side: 'left' },
  { title: 'FINGERPRINT', side: 'left' },
];

/** @throws ShoalError */
export async function list({ terminal, performer, signal }: Context): Promise<void> {
  const result = await performer.run('contacts', {}, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(result);
    return;
  }
  if (result.contacts.length === 0) {
    terminal.say('this home has no contacts; "shoal contacts add NAME RECIPIENT" adds one');
    return;
  }
  const rows = result.contacts.map(({ name, kind, fingerprint }) => [name, kind, fingerprint]);
  terminal.results(table(HEADS, rows, terminal.columns));
}

/** @throws ShoalError `usage` */
export async function add(
  { terminal, performer, signal }: Context,
  name: string,
  recipient: string,
  replace: boolean,
): Promise<void> {
  const added = await performer.run('addContact', { name, recipient, replace }, () => undefined, signal);
  if (terminal.isJson) {
    terminal.json(added);
    return;
  }
  terminal.say(`${added.name} is a contact of this home now; compare the fingerprint over the phone`);
  terminal.result(added.fingerprint);
}

/** @throws ShoalError `usage` */
export async function remove({ terminal, performer, signal }: Context, name: string): Promise<void> {
  const removed = await performer.run('removeContact', { name }, () => undefined, signal);
  if (terminal.isJson) terminal.json(removed);
  else terminal.say(`removed ${removed.name}; what was granted to them stays granted`);
}

/** @throws ShoalError `usage` */
export async function show({ terminal, performer, signal }: Context, text: string): Promise<void> {
  const name = contactName(text);
  const { contacts } = await performer.run('contacts', {}, () => undefined, signal);
  const contact = contacts.find(one => one.name === name);
  if (contact === undefined)
    throw new ShoalError('usage', `this home has no contact ${quoted(name)}; "shoal contacts" lists those it has`);
  if (terminal.isJson) terminal.json(contact);
  else terminal.results(fieldLines(fieldsOf(contact)));
}

function fieldsOf({ name, kind, recipient, fingerprint, addedAt }: Contact): [string, string][] {
  return [
    ['name', name],
    ['kind', kind],
    ['fingerprint', fingerprint],
    ['recipient', recipient],
    ['added', formatDate(addedAt)],
  ];
}
