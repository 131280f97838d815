/**
 * The log of a daemon: for people on a terminal, else a JSON object a line, through the terminal, which escapes it. What is
 * logged has neither ids, links nor addresses in it (ports.ts, Log).
 */
import { appendFileSync, closeSync, constants, openSync, renameSync, statSync } from 'node:fs';
import { fileError } from '../src/errors.ts';
import { MAX_LOG_BYTES } from '../src/limits.ts';
import type { Log } from '../src/ports.ts';
import { Terminal, type Output } from './terminal.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

/** @param least the lowest level that is logged */
export function logOf(terminal: Terminal, least: Level, now: () => number = Date.now): Log {
  return (level, message, fields = {}) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return;
    const time = new Date(now());
    if (!terminal.isInteractive || terminal.isJson) {
      terminal.record({ time: time.toISOString(), level, message, ...fields });
      return;
    }
    const details = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    const line = [clockTime(time), message, ...details].join(' ');
    if (level === 'warn' || level === 'error') terminal.warn(line);
    else terminal.say(line);
  };
}

function clockTime(time: Date): string {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(n => String(n).padStart(2, '0')).join(':');
}

/** A terminal whose talk goes to a file: when that is full it gets the suffix `.1`, and a new one is begun. */
export function fileTerminal(path: string, maxBytes = MAX_LOG_BYTES): Terminal {
  const file: Output = {
    write: text => {
      try {
        appendFileSync(path, text, { mode: 0o600 });
        if (statSync(path).size > maxBytes) renameSync(path, `${path}.1`);
      } catch {
        // A daemon goes on without its log: the disk may be full, and there is nobody to tell.
      }
    },
  };
  return new Terminal({ stdout: file, stderr: file, env: {}, json: false, quiet: false });
}

/** @throws ShoalError as `openLog` */
export function checkLogFile(path: string): void {
  closeSync(openLog(path));
}

/**
 * Opens a log to append to it; does not wait for somebody who reads it, where it is a pipe.
 * @throws ShoalError by `fileError` when the log can't be written there
 */
export function openLog(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
  } catch (error) {
    throw fileError(error, `write the log "${path}"`);
  }
}
