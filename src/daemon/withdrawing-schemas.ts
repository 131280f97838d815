/** The schemas of what a home tells of withdrawals (schemas.ts). */
import { z } from 'zod';

const seconds = z.number().int().describe('Unix seconds.');
const peer = z.string().describe('A peer id.');

export const WITHDRAWAL = z
  .strictObject({
    id: z.string().describe('Of the share or grant.'),
    share: z.string().describe('The id of the share; of a grant, of the one that it names.'),
    what: z.enum(['share', 'grant']),
    name: z.string().optional().describe('Of the share, where the home has it still and knows its name.'),
    at: seconds.describe('When its owner says it was, in Unix seconds.'),
    own: z.boolean().describe('Made in this home, which tells others of it.'),
    notices: z
      .array(
        z.strictObject({
          peer,
          name: z.string().describe('What the relay is called, else the peer id.'),
          relay: z.boolean(),
          state: z
            .enum(['pending', 'obeyed', 'dropped'])
            .describe('"obeyed": it has confirmed; "dropped": it says that it does not hold it.'),
          at: seconds.describe('When it was told, or that was tried last, in Unix seconds.'),
          detail: z.string().optional().describe('Why it has not been told yet.'),
        }),
      )
      .readonly()
      .describe('Those who have shown that they have it. Only where it was made here.'),
  })
  .meta({ id: 'Withdrawal', description: 'A share or grant that its owner has withdrawn, for good.' });

export const WITHDRAWAL_EVENTS = [
  WITHDRAWAL.extend({ event: z.literal('withdrawn') }).describe(
    'It is on record and not served here any more; others are told now.',
  ),
  z
    .strictObject({
      event: z.literal('notice'),
      id: z.string().describe('Of the withdrawal.'),
      peer,
      name: z.string(),
      state: z.enum(['telling', 'obeyed', 'dropped', 'pending']),
      why: z.string().optional().describe('Why it has not been told yet; it is told again.'),
    })
    .describe('How somebody takes a withdrawal of this home.'),
] as const;
