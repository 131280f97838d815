/** Durations as people type them. */
import { ShoalError } from '../errors.ts';
import { quoted } from './quoted.ts';

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration as it is typed, in milliseconds: `30s`, `1.5h`, `1h30m`, `30 days`; Infinity for `never`.
 * @throws ShoalError `usage`
 */
export function parseDuration(text: string): number {
  if (text === 'never') return Infinity;
  const short = text.replace(/^([0-9]+(?:\.[0-9]+)?) (second|minute|hour|day)s?$/, (_, value: string, unit: string) =>
    [value, unit[0]].join(''),
  );
  const parts = [...short.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/gy)];
  const ms = parts.reduce((sum, [, value, unit]) => sum + Number(value) * (MS_PER_UNIT[unit ?? ''] ?? 0), 0);
  if (parts.map(([part]) => part).join('') !== short || !(ms >= 1) || !Number.isSafeInteger(Math.round(ms))) {
    throw new ShoalError('usage', `cannot read the duration ${quoted(text)}: write it like 30s, 5m, 1h30m, or never`);
  }
  return Math.round(ms);
}
