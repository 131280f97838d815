/** What the commands of `shoal-relay` are given, and the configuration that they read. */
import type { Readable } from 'node:stream';
import { brokenError, type Reading } from '../src/config.ts';
import { readConfigFile } from '../src/config-file.ts';
import { ShoalError } from '../src/errors.ts';
import { showName } from '../src/files/names.ts';
import { readRelayConfig, type RELAY_SCHEMA, type RelayConfig } from './config.ts';
import { dataFolderOf, openRelayFolder, type RelayFolder, type RelayPlace } from './folder.ts';
import type { Output } from './output.ts';

/** Where answers are typed, and where the questions are shown. */
export interface Typed {
  readonly from: Readable;
  readonly shown: NodeJS.WritableStream;
}

export interface Context {
  readonly place: RelayPlace;
  /** From where paths that are typed go. */
  readonly cwd: string;
  readonly output: Output;
  /** Undefined where nobody can be asked. */
  readonly typed?: Typed;
  /** Aborted with a ShoalError that says why. */
  readonly signal: AbortSignal;
}

/**
 * Reads the configuration file, which may hold problems.
 * @throws ShoalError `usage` where there is none; `denied` where others may write to it; `io`
 */
export async function readConfigOf({ configPath }: RelayPlace): Promise<Reading<typeof RELAY_SCHEMA>> {
  const text = await readConfigFile(configPath);
  if (text !== undefined) return readRelayConfig(text);
  throw new ShoalError(
    'usage',
    `there is no configuration file "${showName(configPath)}"; "shoal-relay init" makes one`,
  );
}

/** @throws ShoalError `usage` with all that is wrong with it; as `readConfigOf` */
export async function loadConfig(place: RelayPlace): Promise<RelayConfig> {
  const reading = await readConfigOf(place);
  if (reading.problems === undefined) return reading.value;
  const next = '"shoal-relay check-config" looks at it again';
  throw brokenError(`cannot use the configuration file "${place.configPath}":`, reading.problems, next);
}

/** The data folder by the configuration. @throws as `loadConfig`, `openRelayFolder` */
export async function loadFolder(place: RelayPlace): Promise<RelayFolder> {
  return await openRelayFolder(dataFolderOf(await loadConfig(place), place));
}
