/** Somebody who gives blocks of one share: a peer behind a channel, or this home itself. */
import { CREDIT_BYTES } from './limits.ts';
import type { Channel, FoundVia, Path, StreamName } from './ports.ts';
import { encodeMessage, type Blocks } from './protocol/messages.ts';
import { rangesOf, type IndexSet } from './protocol/ranges.ts';

export interface Source {
  readonly peer: string;
  readonly via: FoundVia;
  readonly path: Path;
  readonly has: 'all' | Readonly<Record<StreamName, IndexSet>>;
  readonly creditBytes: number;
  /** Of blocks that were right. */
  bytes: number;
  /** Blocks that were cancelled and may be on their way all the same. */
  readonly late: Set<string>;
  get(kind: Blocks['kind'], stream: StreamName, indices: number[]): void;
  cancel(kind: Blocks['kind'], stream: StreamName, indices: number[]): void;
  receivedBytes(): number;
  end(reason: Error): void;
}

/** A peer behind a channel. Sending is not waited for: requests are small, and a failing channel ends its reader too. */
export function channelSource(
  channel: Channel,
  via: FoundVia,
  has: Source['has'],
  creditBytes: number,
): Source & { endedBy?: Error } {
  const tell = (type: 'get' | 'cancel', kind: Blocks['kind'], stream: StreamName, indices: number[]): void => {
    const ranges = rangesOf(indices.sort((a, b) => a - b));
    channel
      .send(encodeMessage({ type, kind, stream, ranges }))
      .catch((error: unknown) => channel.abort(error instanceof Error ? error : new Error(String(error))));
  };
  const source: Source & { endedBy?: Error } = {
    peer: channel.peer,
    via,
    path: channel.path,
    has,
    creditBytes: Math.min(creditBytes, CREDIT_BYTES),
    bytes: 0,
    late: new Set(),
    get: (kind, stream, indices) => tell('get', kind, stream, indices),
    cancel: (kind, stream, indices) => {
      for (const index of indices) source.late.add(blockKey(kind, stream, index));
      tell('cancel', kind, stream, indices);
    },
    receivedBytes: () => channel.receivedBytes,
    end: reason => {
      source.endedBy = reason;
      channel.abort(reason);
    },
  };
  return source;
}

/** This home itself, which reads one block at a time by `read`. */
export function localSource(
  has: Source['has'],
  read: (kind: Blocks['kind'], stream: StreamName, index: number) => void,
): Source {
  const source: Source = {
    peer: 'this home',
    via: 'local',
    path: 'direct',
    has,
    creditBytes: CREDIT_BYTES,
    bytes: 0,
    late: new Set(),
    get: (kind, stream, indices) => indices.forEach(index => read(kind, stream, index)),
    cancel: () => undefined,
    receivedBytes: () => source.bytes,
    end: () => undefined,
  };
  return source;
}

export function blockKey(kind: Blocks['kind'], stream: StreamName, index: number): string {
  return `${kind} ${stream} ${index}`;
}

/** Who gave how much. */
export interface SourceSummary {
  readonly peer: string;
  readonly via: FoundVia;
  /** The last one, where it changed. */
  readonly path: Path;
  readonly bytes: number;
}

/** The same with one entry a peer, those that gave most first; without those that gave nothing. */
export function byPeer(all: readonly SourceSummary[]): SourceSummary[] {
  const sums = new Map<string, SourceSummary>();
  for (const one of all) sums.set(one.peer, { ...one, bytes: one.bytes + (sums.get(one.peer)?.bytes ?? 0) });
  return [...sums.values()].filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes);
}
