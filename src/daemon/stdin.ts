/** Shares what comes from stdin, which is taken into the home first: it is read once, and served as often as somebody asks. */
import type { Readable } from 'node:stream';
import { spool } from '../files/spool.ts';
import { makeHomeFolder } from '../records.ts';
import { checkWords } from '../share.ts';
import type { ActionEvent, Parameters, Results } from './actions.ts';
import { perform, type SessionOptions } from './session.ts';

/** What there is to say of a share of stdin; the rest says itself. */
export type StreamParameters = Omit<Parameters<'share'>, 'paths' | 'exclude' | 'spooled'>;

/**
 * Reads `input` to its end and shares it, here or by the process that holds the home. Nothing is shared unless it ends well,
 * and what was read is removed where no share is made of it.
 * @throws ShoalError as `spool` and `perform` do
 */
export async function shareStream(
  options: SessionOptions,
  parameters: StreamParameters,
  input: Readable,
  onEvent: (event: ActionEvent) => void,
  signal: AbortSignal,
): Promise<Results['share']> {
  checkWords(parameters);
  await makeHomeFolder(options.home);
  const spooled = await spool(options.home, input, doneBytes => onEvent({ event: 'reading', doneBytes }), signal);
  const watch = (event: ActionEvent): void => {
    // What goes wrong here is thrown below.
    if (event.event === 'shared') spooled.close().catch(() => undefined);
    onEvent(event);
  };
  try {
    const request = { ...parameters, paths: [spooled.path], exclude: [], spooled: true };
    return await perform(options, 'share', request, watch, signal);
  } finally {
    await spooled.close();
  }
}
