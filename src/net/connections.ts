/** The ends of connections. */
import type { Connection } from '@libp2p/interface';
import { HANG_UP_MS } from '../limits.ts';

/** Closes a connection. libp2p's own close waits in vain when the other side closes at the same moment. */
export async function hangUp(connection: Connection): Promise<void> {
  const over = closed(connection, AbortSignal.timeout(HANG_UP_MS));
  await Promise.race([over, connection.close()]).catch((error: unknown) => connection.abort(error as Error));
}

/** Resolves when the connection is over. @throws the signal's reason */
export function closed(connection: Connection, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      connection.removeEventListener('close', settle);
      signal.removeEventListener('abort', settle);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    if (connection.status !== 'open' || signal.aborted) return settle();
    connection.addEventListener('close', settle);
    signal.addEventListener('abort', settle);
  });
}

/** What went wrong, in words; of several attempts, all that is different. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(reasonOf))].join('; ');
  return (error as Error).message;
}
