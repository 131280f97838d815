/** Schemas of the actions of contacts.ts; schemas.ts has them among all others. */
import { z } from 'zod';

const name = z.string().meta({ description: 'What somebody is called in this home.', minLength: 1 });

const contact = z
  .strictObject({
    name,
    recipient: z.string().describe('An age recipient.'),
    kind: z.enum(['x25519', 'post-quantum']),
    fingerprint: z.string().describe('Of the recipient: six groups of five digits, to compare over the phone.'),
    addedAt: z.number().int().describe('Unix seconds.'),
  })
  .meta({ id: 'Contact', description: 'Somebody whom shares are granted to.' });

export const CONTACT_PARAMETERS = {
  contacts: z.strictObject({}),
  addContact: z.strictObject({
    name,
    recipient: z.string().meta({ description: 'An age recipient: age1… or age1pq1….', minLength: 1 }),
    replace: z.boolean().default(false).describe('Take the place of who has the name.'),
  }),
  removeContact: z.strictObject({ name }),
} as const;

export const CONTACT_RESULTS = {
  contacts: z.strictObject({ contacts: z.array(contact).readonly() }),
  addContact: contact,
  removeContact: contact,
} as const;
