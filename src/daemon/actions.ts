/**
 * What a home can be asked to do, by a command in the same process or over the socket: one schema for the parameters of
 * each action, and the types of what it tells and returns.
 */
import { z } from 'zod';
import type { DownloadEvent, SourceSummary } from '../download.ts';
import type { ErrorCode } from '../errors.ts';
import type { FetchEvent } from '../fetch.ts';
import { MAX_LINK_CHARS, MAX_LINK_HINTS, MAX_PATH_BYTES } from '../limits.ts';
import type { NetworkSettings } from '../node.ts';
import type { ShareEvent } from '../share.ts';

const path = z.string().min(1).max(MAX_PATH_BYTES).describe('An absolute path.');
const link = z
  .string()
  .min(1)
  .max(2 * MAX_LINK_CHARS)
  .describe('A link, as pasted.');
const idOrLink = z
  .string()
  .min(1)
  .max(2 * MAX_LINK_CHARS)
  .describe('A share id, a link, or an unambiguous beginning of the id of a share in this home.');
const timeoutMs = z.number().int().positive().optional().describe('Give up when nothing has moved for so long.');

/** The parameters of each action. */
export const PARAMETERS = {
  share: z.strictObject({
    path,
    name: z.string().optional(),
    skip: z.boolean().default(false),
    copy: z.boolean().default(false),
    pad: z.boolean().default(true),
    anew: z.boolean().default(false),
    hints: z
      .array(z.string())
      .max(MAX_LINK_HINTS)
      .default([])
      .describe('Multiaddrs or relays for the link; "self" stands for the addresses of this node.'),
  }),
  serve: z.strictObject({ id: idOrLink }),
  fetch: z.strictObject({
    link,
    output: path.describe('An absolute path: a folder to put the output into, or its final place.'),
    only: z.array(z.string()).default([]).describe('Globs of entries; all when empty.'),
    force: z.boolean().default(false),
    keep: z.boolean().default(false),
    timeoutMs,
  }),
  list: z.strictObject({ link, timeoutMs }),
  shares: z.strictObject({}),
  forget: z.strictObject({ id: idOrLink }),
  export: z.strictObject({ id: idOrLink, output: path, force: z.boolean().default(false) }),
  import: z.strictObject({ path }),
  status: z.strictObject({}),
} as const;

export type ActionName = keyof typeof PARAMETERS;
export type Parameters<A extends ActionName> = z.input<(typeof PARAMETERS)[A]>;

/** A share of this home, as it is shown. */
export interface ShareView {
  readonly id: string;
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly sizeBytes: number;
  readonly files: number;
  readonly source: 'original' | 'copy' | 'fetched' | 'imported';
  readonly path?: string;
  /** `serving` now, `idle` when no command serves it, `changed` when the files differ from what was shared, `missing` when they are gone. */
  readonly state: 'serving' | 'idle' | 'changed' | 'missing';
  readonly detail?: string;
  readonly createdAt: number;
  readonly peersServed: number;
  readonly bytesUp: number;
}

/** What comes back in the end. */
export interface Results {
  /** Serving ends when the asker goes away. */
  share: ShareView;
  serve: ShareView;
  fetch: {
    readonly name: string;
    readonly kind: 'file' | 'folder';
    readonly path: string;
    readonly sizeBytes: number;
    readonly files: number;
    readonly alreadyThere: boolean;
    /** How the source that gave most was found. */
    readonly found?: string;
    readonly sources: readonly SourceSummary[];
  };
  list: {
    readonly name: string;
    readonly kind: 'file' | 'folder';
    readonly note?: string;
    readonly entries: readonly {
      readonly path: string;
      readonly size: number;
      readonly executable?: true;
      readonly modified?: number;
      readonly directory?: true;
    }[];
  };
  shares: { readonly shares: readonly ShareView[] };
  forget: ShareView;
  export: { readonly id: string; readonly path: string; readonly bytes: number; readonly blocks: number };
  import: { readonly id: string; readonly blocks: number; readonly bytes: number; readonly complete: boolean };
  status: {
    readonly version: string;
    readonly api: number;
    readonly pid: number;
    readonly peer: string;
    readonly addresses: readonly string[];
    /** How its node meets others. */
    readonly network: NetworkSettings;
  };
}

/** What an action tells while it goes on. */
export type ActionEvent =
  | ShareEvent
  | FetchEvent
  | DownloadEvent
  /** The share is complete and served from now on. `link` holds its key. */
  | {
      readonly event: 'shared';
      readonly share: ShareView;
      readonly link: string;
      readonly again: boolean;
      readonly addresses: readonly string[];
    }
  /** A peer of a share that is served: `joined`, `sent` bytes, has it `complete`, `left`. */
  | {
      readonly event: 'served';
      readonly id: string;
      readonly peer: string;
      readonly what: 'joined' | 'sent' | 'complete' | 'left';
      readonly bytes: number;
    }
  | { readonly event: 'changed'; readonly id: string; readonly why: string }
  /** After a fetch with `keep`: the output is served from now on. */
  | { readonly event: 'keeping'; readonly fetched: Results['fetch']; readonly share: ShareView }
  | { readonly event: 'blocks'; readonly blocks: number; readonly bytes: number };

/** The last line of an answer over the socket. */
export type Ending<A extends ActionName> =
  | { readonly event: 'done'; readonly result: Results[A] }
  | { readonly event: 'failed'; readonly code: ErrorCode; readonly message: string };

/** Something that can be asked to do an action: a node in this process, or one behind a socket. */
export interface Actor {
  /** @throws ShoalError; `interrupted` when the signal ended it */
  run<A extends ActionName>(
    action: A,
    parameters: Parameters<A>,
    onEvent: (event: ActionEvent) => void,
    signal: AbortSignal,
  ): Promise<Results[A]>;
}
