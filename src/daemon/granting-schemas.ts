/** Schemas of what is asked and told about grants (schemas.ts). */
import { z } from 'zod';

const seconds = z.number().int().describe('Unix seconds.');

export const to = z.union([
  z.strictObject({
    recipients: z
      .array(z.string())
      .min(1)
      .describe('age recipients (age1…, age1pq1…), all of one kind, or names of contacts.'),
  }),
  z.strictObject({ passphrase: z.string().min(1) }).describe('Who knows it can read the share.'),
]);

export const GRANTING_PARAMETERS = {
  resolve: z
    .strictObject({
      link: z.string().meta({ description: 'A link, as pasted.', minLength: 1 }),
      timeoutMs: z.number().int().positive().optional().describe('Give up when nothing has moved for so long.'),
    })
    .describe('What a link without a key names.'),
  grant: z
    .strictObject({
      id: z.string().meta({
        description: 'A share id, a link, or an unambiguous beginning of the id of a share in this home.',
        minLength: 1,
      }),
      to,
      expires: seconds.optional().describe('When it ends, a full hour; with its share where absent.'),
    })
    .describe('Makes another grant of a share that this home has the key of.'),
} as const;

export const grantView = z
  .strictObject({
    id: z.string(),
    madeFor: z.array(z.string()).readonly().describe('As they were called; nothing where the home did not make it.'),
    createdAt: seconds,
    expires: seconds.optional(),
    own: z.boolean().describe('Made by this home, which can withdraw it.'),
  })
  .meta({ id: 'Grant', description: 'The key of a share, sealed to chosen people or to a passphrase.' });

export const GRANTING_RESULTS = {
  resolve: z.strictObject({
    id: z.string().describe('Of the share.'),
    grant: z
      .strictObject({
        id: z.string(),
        block: z.base64().describe('The grant block.'),
        expires: seconds.optional(),
      })
      .optional()
      .describe('Where the link is of a grant.'),
  }),
  grant: z.strictObject({
    share: z.string(),
    grant: grantView,
    link: z.string().describe('Without a key.'),
    relays: z.array(z.string()).readonly().describe('Those that have it by now, of those that keep the share.'),
    lacking: z.array(z.string()).readonly().describe('Those that will be given it whenever the home runs.'),
  }),
} as const;
