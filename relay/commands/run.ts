/** `shoal-relay run`: a relay, until it is stopped. At SIGHUP it reads its configuration again. */
import type { RelayConfig } from '../config.ts';
import { loadConfig, type Context } from '../context.ts';
import { dataFolderOf, openRelayFolder, takeRelayFolder, type RelayFolder, type RelayPlace } from '../folder.ts';

/** What a relay is started with. */
export interface RelayOptions {
  readonly config: RelayConfig;
  /** From where relative paths of the configuration go. */
  readonly place: RelayPlace;
  /** Its data folder, which is this process's own. */
  readonly folder: RelayFolder;
}

export interface RunningRelay {
  /** Takes over what it can, and logs that. @returns the keys that need a start for their new values to hold */
  reload(config: RelayConfig): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts a relay. */
export type StartRelay = (options: RelayOptions) => Promise<RunningRelay>;

export interface RunContext extends Context {
  /** Calls `listener` at each SIGHUP, until the signal. */
  readonly onReload: (listener: () => void, signal: AbortSignal) => void;
}

/** @throws ShoalError as `loadConfig`; `home`; `in-use` where a relay runs in the data folder; what `start` throws */
export async function runRelay(context: RunContext, start: StartRelay): Promise<void> {
  const { place } = context;
  const config = await loadConfig(place);
  const folder = await openRelayFolder(dataFolderOf(config, place));
  const held = await takeRelayFolder(folder);
  try {
    const relay = await start({ config, place, folder });
    try {
      await untilStopped(context, relay);
    } finally {
      await relay.stop();
    }
  } finally {
    held.release();
  }
}

/** Reloads, one after the other, until the signal. */
async function untilStopped(context: RunContext, relay: RunningRelay): Promise<void> {
  const { signal, onReload } = context;
  let reloading = Promise.resolve();
  onReload(() => {
    reloading = reloading.then(() => reload(context, relay));
  }, signal);
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
  await reloading;
}

/** A configuration that is wrong changes nothing. */
async function reload({ place, output }: RunContext, relay: RunningRelay): Promise<void> {
  try {
    // What came of it is in its log.
    await relay.reload(await loadConfig(place));
  } catch (error) {
    // A relay that serves goes on, whatever its new configuration does to it.
    output.warn(`nothing is changed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
