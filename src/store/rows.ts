/** What is read from a database may be anything: each of these gives undefined for what the program can't have written. */
import { parseId, type BlockId } from '../format/ids.ts';

/** A row as SQLite gives it, numbers as bigint, or as numbers where it was made of JSON. */
export type Row = Readonly<Record<string, unknown>>;
/** What can be put into a column. */
export type Value = string | number | Uint8Array | null;

export function idIn(value: unknown): BlockId | undefined {
  try {
    return typeof value === 'string' ? parseId(value) : undefined;
  } catch {
    return undefined;
  }
}

export function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | undefined {
  return allowed.find(one => one === value);
}

export function countIn(value: unknown): number | undefined {
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

export function textsIn(value: unknown): string[] | undefined {
  const texts = arrayIn(value);
  return texts?.every(text => typeof text === 'string') === true ? texts : undefined;
}

/** The array that a text is as JSON. */
export function arrayIn(value: unknown): unknown[] | undefined {
  try {
    const parsed: unknown = typeof value === 'string' ? JSON.parse(value) : undefined;
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
