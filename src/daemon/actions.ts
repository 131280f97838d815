/**
 * What a home can be asked to do, by a command in the same process or over the socket. The types are those of the schemas,
 * which only the door to the outside loads.
 */
import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { EVENT, PARAMETERS, RESULTS } from './schemas.ts';

export type ActionName = keyof typeof PARAMETERS;
export type Parameters<A extends ActionName> = z.output<(typeof PARAMETERS)[A]>;
/** What comes back in the end; serving ends when the asker goes away. */
export type Results = { readonly [A in ActionName]: z.output<(typeof RESULTS)[A]> };
/** A share of this home, as it is shown. */
export type ShareView = Results['share'];
/** What an action tells while it goes on. */
export type ActionEvent = z.output<typeof EVENT>;

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
