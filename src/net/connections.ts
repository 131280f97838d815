/** The ends of connections. */
import type { Connection } from '@libp2p/interface';
import { ShoalError } from '../errors.ts';
import { HANG_UP_MS } from '../limits.ts';

/** Closes a connection. libp2p's own close waits in vain when the other side closes at the same moment. */
export async function hangUp(connection: Connection): Promise<void> {
  const over = closed(connection, AbortSignal.timeout(HANG_UP_MS));
  await Promise.race([over, connection.close()]).catch((error: unknown) => connection.abort(error as Error));
}

/** A connection or stream. */
interface Closable {
  readonly status: string;
  addEventListener(type: 'close', listener: () => void): void;
  removeEventListener(type: 'close', listener: () => void): void;
}

/** Resolves when a connection or stream is over. @throws the signal's reason */
export function closed(what: Closable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      what.removeEventListener('close', settle);
      signal.removeEventListener('abort', settle);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    if (what.status !== 'open' || signal.aborted) return settle();
    what.addEventListener('close', settle);
    signal.addEventListener('abort', settle);
  });
}

/** What went wrong, in words; of several attempts, all that is different. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(reasonOf))].join('; ');
  return (error as Error).message;
}

/** What a failure to connect to a peer is for who asked for it. */
export function connectError(error: unknown, peer: string, protocol: string, interrupted: boolean): ShoalError {
  const cause = { cause: error };
  if (interrupted) return new ShoalError('interrupted', `stopped connecting to peer ${peer}`, cause);
  if ((error as Error).name === 'UnsupportedProtocolError') {
    return new ShoalError('protocol', `cannot open a channel to peer ${peer}: it does not speak ${protocol}`, cause);
  }
  return new ShoalError('not-found', `cannot reach peer ${peer}: ${reasonOf(error)}`, cause);
}
