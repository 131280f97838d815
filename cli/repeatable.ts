/** Options that can be given several times. */
import { Option } from 'commander';

export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; repeatable`).argParser((value: string, before: unknown) => [
    // False where the option is one that can be taken back, and was.
    ...(Array.isArray(before) ? (before as string[]) : []),
    value,
  ]);
}
