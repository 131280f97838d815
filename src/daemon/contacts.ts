/** Whom a user grants shares to. */
import type { Catalog } from '../catalog.ts';

/** @throws ShoalError `usage` */
export function recipientsOf(
  { contacts }: Pick<Catalog, 'contacts'>,
  texts: readonly string[],
): { readonly recipients: string[]; readonly madeFor: string[] } {
  const recipients = texts.map(text => contacts.get(text)?.recipient ?? text);
  return {
    recipients,
    madeFor: texts.map(text => (text.length > 20 ? `${text.slice(0, 12)}…${text.slice(-6)}` : text)),
  };
}
