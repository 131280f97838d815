/**
 * The log of a relay: a JSON object a line on stderr, and where that is a terminal, lines for people. What is logged has
 * neither keys, tokens nor links in it, and from `info` up neither ids nor addresses of others (src/ports.ts, Log).
 */
import { pino } from 'pino';
import { escaped, escapedJson } from '../src/format/quoted.ts';
import type { Log } from '../src/ports.ts';

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export interface RelayLog {
  readonly log: Log;
  /** Changes from which level on is logged. */
  readonly setLevel: (level: Level) => void;
}

/** Fields whose values are never written, should one be given. */
const SECRET = ['key', 'token', 'passphrase', 'secret', 'link', 'authorization'];

/**
 * @param least the lowest level that is logged
 * @param format for people also where it is no terminal
 */
export function relayLog(
  least: Level,
  format: 'json' | 'pretty' = 'json',
  out: { write(text: string): unknown; readonly isTTY?: boolean } = process.stderr,
  now: () => number = Date.now,
): RelayLog {
  const line = format === 'pretty' || out.isTTY === true ? lineForPeople : lineForPrograms;
  const logger = pino(
    {
      level: least,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: level => ({ level }) },
      redact: { paths: SECRET, censor: '(secret)' },
      hooks: { streamWrite: line },
    },
    { write: text => void out.write(text) },
  );
  return {
    log: (level, message, fields = {}) => logger[level](fields, message),
    setLevel: level => void (logger.level = level),
  };
}

function lineForPrograms(json: string): string {
  return `${escapedJson(JSON.parse(json))}\n`;
}

function lineForPeople(json: string): string {
  const { level, time, message, ...fields } = JSON.parse(json) as Record<'level' | 'time' | 'message', string>;
  const details = Object.entries(fields).map(([name, value]) => `${name}=${escapedJson(value)}`);
  const loud = level === 'warn' || level === 'error' ? [`${level}:`] : [];
  return `${escaped([clockTime(new Date(time)), ...loud, message, ...details].join(' '))}\n`;
}

function clockTime(time: Date): string {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(n => String(n).padStart(2, '0')).join(':');
}
