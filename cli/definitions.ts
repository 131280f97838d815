/** What the definitions of commands share. */
import { Option, type Command } from 'commander';
import type { Context } from './context.ts';

/** Makes what a command needs, when it is called. */
export type ContextFor = (command: Command) => Promise<Context>;

export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; repeatable`).argParser((value: string, before: unknown) => [
    // False where the option is one that can be taken back, and was.
    ...(Array.isArray(before) ? (before as string[]) : []),
    value,
  ]);
}
