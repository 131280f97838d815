/** Actions of a home that are about whom shares are granted to. */
import type { Catalog, ContactRecord } from '../catalog.ts';
import { systemClock } from '../clock.ts';
import { ShoalError } from '../errors.ts';
import { escaped, quoted } from '../format/quoted.ts';
import {
  contactName,
  fingerprint,
  isRecipientLike,
  kindOf,
  shortRecipient,
  type RecipientKind,
} from '../format/recipient.ts';
import type { ShoalNode } from '../node.ts';
import type { Parameters, Results } from './actions.ts';

type Contacts = Pick<Catalog, 'contacts'>;
type ContactView = Results['addContact'];

/** The address book; leaves out what this program can't have written. */
export function contactViews(node: ShoalNode): Results['contacts'] {
  return { contacts: (node.home?.catalog.contacts.list() ?? []).map(viewOf) };
}

/**
 * Adds somebody; the same again changes nothing.
 * @throws ShoalError `usage` for a name or recipient that can't be used, and where the name is that of another recipient
 */
export function addContact(node: ShoalNode, { name: text, recipient, replace }: Parameters<'addContact'>): ContactView {
  const { contacts } = catalogOf(node);
  const name = contactName(text);
  const added = { name, recipient: recipient.trim(), addedAt: Math.floor(systemClock.now() / 1000) };
  kindOf(added.recipient);
  const before = contacts.get(name);
  if (before?.recipient === added.recipient) return viewOf(before);
  if (before !== undefined && !replace)
    throw new ShoalError(
      'usage',
      `cannot add the contact ${quoted(name)}: the name has another recipient, whose fingerprint is ${fingerprint(before.recipient)}, and this one's is ${fingerprint(added.recipient)}; ask them which is theirs, and give --replace where it is this one`,
    );
  contacts.put(added);
  return viewOf(added);
}

/** @throws ShoalError `usage` where nobody has the name */
export function removeContact(node: ShoalNode, { name }: Parameters<'removeContact'>): ContactView {
  const { contacts } = catalogOf(node);
  const contact = contactOf({ contacts }, name);
  contacts.remove(contact.name);
  return viewOf(contact);
}

/**
 * Whom a grant is to be made for, each once.
 * @param texts age recipients, and names of contacts
 * @returns what it is sealed to; and in the same order, what they are called here
 * @throws ShoalError `usage` where one is neither, or they are of different kinds, saying which are of which
 */
export function recipientsOf(
  catalog: Contacts,
  texts: readonly string[],
): { readonly recipients: string[]; readonly madeFor: string[] } {
  const found = new Map<string, { readonly name: string; readonly kind: RecipientKind }>();
  for (const text of texts.map(one => one.trim())) {
    const { recipient, name } = isRecipientLike(text)
      ? { recipient: text, name: shortRecipient(text) }
      : contactOf(catalog, text);
    const kind = kindOf(recipient);
    // Who is named is remembered by the name, whichever comes first.
    if (!found.has(recipient) || !isRecipientLike(text)) found.set(recipient, { name, kind });
  }
  refuseMixed([...found.values()]);
  return { recipients: [...found.keys()], madeFor: [...found.values()].map(({ name }) => name) };
}

function refuseMixed(found: readonly { readonly name: string; readonly kind: RecipientKind }[]): void {
  const namesOf = (kind: RecipientKind): string =>
    found.flatMap(one => (one.kind === kind ? [`"${escaped(one.name)}"`] : [])).join(', ');
  const [classic, quantum] = [namesOf('x25519'), namesOf('post-quantum')];
  if (classic === '' || quantum === '') return;
  throw new ShoalError(
    'usage',
    `cannot grant to recipients of two kinds at once: post-quantum (age1pq1…) are ${quantum}; x25519 (age1…) are ${classic}; make a grant for each kind`,
  );
}

/** @throws ShoalError `usage` where nobody has the name */
function contactOf({ contacts }: Contacts, text: string): ContactRecord {
  const name = contactName(text);
  const contact = contacts.get(name);
  if (contact !== undefined) return contact;
  throw new ShoalError(
    'usage',
    `this home has no contact ${quoted(name)}; "shoal contacts" lists those it has, and a recipient begins with "age1"`,
  );
}

function viewOf({ name, recipient, addedAt }: ContactRecord): ContactView {
  return { name, recipient, kind: kindOf(recipient), fingerprint: fingerprint(recipient), addedAt };
}

function catalogOf(node: ShoalNode): Catalog {
  if (node.home === undefined) throw new Error('only a home has contacts');
  return node.home.catalog;
}
