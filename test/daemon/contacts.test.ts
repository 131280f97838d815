import { expect } from 'chai';
import type { ContactRecord } from '../../src/catalog.ts';
import { addContact, contactViews, recipientsOf, removeContact } from '../../src/daemon/contacts.ts';
import { makeIdentity } from '../../src/format/identity.ts';
import { fingerprint, shortRecipient } from '../../src/format/recipient.ts';
import type { ShoalNode } from '../../src/node.ts';
import { failureOf } from '../format/failure.ts';

const { recipient: classic } = await makeIdentity('x25519');
const { recipient: classic2 } = await makeIdentity('x25519');
const { recipient: quantum } = await makeIdentity('post-quantum');

/** A node of which the contacts are there, in memory. */
function someNode(): { node: ShoalNode; catalog: Parameters<typeof recipientsOf>[0] } {
  const kept = new Map<string, ContactRecord>();
  const contacts = {
    list: () => [...kept.values()],
    get: (name: string) => kept.get(name),
    put: (record: ContactRecord) => void kept.set(record.name, record),
    remove: (name: string) => void kept.delete(name),
  };
  const catalog = { contacts };
  return { node: { home: { catalog } } as unknown as ShoalNode, catalog };
}

describe('contacts', () => {
  it('are added, listed with their fingerprints, and removed', () => {
    const { node } = someNode();
    const ann = addContact(node, { name: ' ann ', recipient: ` ${quantum}\n`, replace: false });
    expect(ann).to.include({
      name: 'ann',
      recipient: quantum,
      kind: 'post-quantum',
      fingerprint: fingerprint(quantum),
    });
    expect(contactViews(node)).to.deep.equal({ contacts: [ann] });
    expect(removeContact(node, { name: 'ann' })).to.deep.equal(ann);
    expect(contactViews(node)).to.deep.equal({ contacts: [] });
    expect(contactViews({} as unknown as ShoalNode)).to.deep.equal({ contacts: [] });
  });

  it('are not replaced by another recipient without being told to, and both fingerprints are said', async () => {
    const { node } = someNode();
    const first = addContact(node, { name: 'ann', recipient: classic, replace: false });
    expect(addContact(node, { name: 'ann', recipient: classic, replace: false })).to.deep.equal(first);
    const failure = await failureOf(() => addContact(node, { name: 'ann', recipient: quantum, replace: false }));
    expect(failure.code).to.equal('usage');
    for (const one of [classic, quantum]) expect(failure.message).to.include(fingerprint(one));
    addContact(node, { name: 'ann', recipient: quantum, replace: true });
    expect(contactViews(node).contacts.map(({ recipient }) => recipient)).to.deep.equal([quantum]);
  });

  it('are refused with names and recipients that are none', async () => {
    const { node } = someNode();
    for (const [name, recipient] of [
      [classic, classic],
      ['@ann', classic],
      ['ann', 'bob'],
      ['ann', classic.slice(0, -1)],
    ] as const)
      expect((await failureOf(() => addContact(node, { name, recipient, replace: false }))).code).to.equal('usage');
    expect(contactViews(node).contacts).to.deep.equal([]);
    const unknown = await failureOf(() => removeContact(node, { name: 'ann' }));
    expect(unknown.message).to.match(/this home has no contact "ann"/);
  });
});

describe('the recipients of a grant', () => {
  it('are those that are given, and those of contacts, each once and by name where it has one', () => {
    const { node, catalog } = someNode();
    addContact(node, { name: 'ann', recipient: classic, replace: false });
    expect(recipientsOf(catalog, [classic, 'ann', classic2, ` ${classic2} `])).to.deep.equal({
      recipients: [classic, classic2],
      madeFor: ['ann', shortRecipient(classic2)],
    });
    expect(recipientsOf(catalog, ['ann', classic]).madeFor).to.deep.equal(['ann']);
  });

  it('are refused where nobody has the name, or it is a secret', async () => {
    const { catalog } = someNode();
    expect((await failureOf(() => recipientsOf(catalog, ['ann']))).message).to.match(/no contact "ann"/);
    const { secret } = await makeIdentity('x25519');
    expect((await failureOf(() => recipientsOf(catalog, [secret]))).message).not.to.include(secret.slice(-10));
  });

  it('are refused where they are of two kinds, saying which are of which', async () => {
    const { node, catalog } = someNode();
    addContact(node, { name: 'ann', recipient: classic, replace: false });
    addContact(node, { name: 'bob', recipient: quantum, replace: false });
    const { message } = await failureOf(() => recipientsOf(catalog, ['ann', 'bob', classic2]));
    expect(message).to.include('post-quantum (age1pq1…) are "bob"');
    expect(message).to.include(`x25519 (age1…) are "ann", "${shortRecipient(classic2)}"`);
  });
});
