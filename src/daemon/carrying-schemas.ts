/** What the schemas say of what a home carries for others, and of its quota. */
import { z } from 'zod';

const count = z.number().int().min(0);
const bytes = count.describe('Bytes.');

/** Of a share that is carried. */
export const ELSEWHERE = {
  copiesElsewhere: count
    .optional()
    .describe('Complete copies elsewhere when they were looked for last; only of what is carried without its key.'),
  lookedAt: z.number().int().optional().describe('When that was, in Unix seconds.'),
} as const;

/** Of the status of a home. */
export const STORE = {
  store: z
    .strictObject({
      usedBytes: bytes.describe('What the encrypted blocks in the home take.'),
      quotaBytes: bytes.optional().describe('What they may take; no limit but the disk where absent.'),
      roomBytes: bytes.describe('What the disk has room for beside that, with some of it left to all else.'),
    })
    .optional()
    .describe('Only of a process that holds the home.'),
} as const;

export const DROPPED = z
  .strictObject({
    event: z.literal('dropped'),
    id: z.string(),
    bytes,
    copiesElsewhere: count.describe('Complete copies elsewhere when they were looked for last.'),
  })
  .describe('A share that was only carried was forgotten, so that there is room for another one.');
