/** Options that all commands have: how to print, and how this node meets others. */
import { ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';
import { LEAST_CONNECTIONS, MOST_CONNECTIONS } from '../src/limits.ts';
import { parseRate } from './units.ts';

/** How a node meets others. */
export interface NetworkChoice {
  /** Multiaddrs; all interfaces where there are none. */
  readonly listen: string[];
  readonly bootstrap: string[];
  readonly mdns: boolean;
  readonly dht: (typeof DHT_MODES)[number];
  /** Bytes per second. */
  readonly maxUp?: number;
  readonly maxDown?: number;
  readonly maxConnections?: number;
  readonly portMapping: boolean;
}

export const DHT_MODES = ['auto', 'client', 'server', 'off'] as const;

/** As commander gives them; absent where they were not on the command line. */
export interface GlobalOptions {
  readonly json?: true;
  readonly quiet?: true;
  readonly debug?: true;
  readonly listen?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly mdns?: boolean;
  readonly dht?: string;
  readonly maxUp?: string;
  readonly maxDown?: string;
  readonly maxConnections?: string;
  readonly portMapping?: boolean;
}

/**
 * The command line first, then the environment.
 * @throws ShoalError `usage`
 */
export function networkOf(options: GlobalOptions, env: Readonly<Record<string, string | undefined>>): NetworkChoice {
  return {
    listen: addresses('--listen', options.listen, 'SHOAL_LISTEN', env),
    bootstrap: addresses('--bootstrap', options.bootstrap, 'SHOAL_BOOTSTRAP', env),
    mdns: options.mdns ?? onOrOff('SHOAL_MDNS', env),
    dht: mode(options.dht, env),
    portMapping: options.portMapping ?? onOrOff('SHOAL_PORT_MAPPING', env),
    ...number('maxUp', parseRate, options, env),
    ...number('maxDown', parseRate, options, env),
    ...number('maxConnections', connections, options, env),
  };
}

/** Of the settings that were asked for, the option or the variable that did, in the words of the user. */
export function askedOf(
  options: GlobalOptions,
  env: Readonly<Record<string, string | undefined>>,
): { readonly [S in keyof NetworkChoice]?: string } {
  const names = [
    ['listen', '--listen', 'SHOAL_LISTEN'],
    ['bootstrap', '--bootstrap', 'SHOAL_BOOTSTRAP'],
    ['mdns', '--no-mdns', 'SHOAL_MDNS'],
    ['dht', '--dht', 'SHOAL_DHT'],
    ['portMapping', '--no-port-mapping', 'SHOAL_PORT_MAPPING'],
    ...Object.entries(NUMBERS).map(([setting, names]) => [setting as keyof typeof NUMBERS, ...names] as const),
  ] as const;
  const asked = names.map(([setting, option, variable]) => [
    setting,
    options[setting] !== undefined ? option : env[variable] ? variable : undefined,
  ]);
  return Object.fromEntries(asked.filter(([, name]) => name !== undefined)) as { [S in keyof NetworkChoice]?: string };
}

function addresses(
  option: string,
  given: readonly string[] | undefined,
  variable: string,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const listed = env[variable]?.split(',').map(text => text.trim());
  const texts = given ?? listed?.filter(text => text !== '') ?? [];
  const wrong = texts.find(text => !text.startsWith('/'));
  if (wrong === undefined) return [...texts];
  const from = given === undefined ? variable : option;
  throw new ShoalError('usage', `${from}: ${quoted(wrong)} is not a multiaddr like /ip4/192.0.2.1/tcp/4001`);
}

/** By which option and variable each is set. */
const NUMBERS = {
  maxUp: ['--max-up', 'SHOAL_MAX_UP'],
  maxDown: ['--max-down', 'SHOAL_MAX_DOWN'],
  maxConnections: ['--max-connections', 'SHOAL_MAX_CONNECTIONS'],
} as const;

function number<S extends keyof typeof NUMBERS>(
  setting: S,
  parse: (text: string) => number,
  options: GlobalOptions,
  env: Readonly<Record<string, string | undefined>>,
): Partial<Record<S, number>> {
  const [option, variable] = NUMBERS[setting];
  const given = options[setting];
  const text = given ?? env[variable];
  if (given === undefined && !text) return {};
  try {
    return { [setting]: parse(text ?? '') } as Partial<Record<S, number>>;
  } catch (error) {
    throw new ShoalError('usage', `${given === undefined ? variable : option}: ${(error as Error).message}`);
  }
}

function connections(text: string): number {
  const count = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (count >= LEAST_CONNECTIONS && count <= MOST_CONNECTIONS) return count;
  throw new ShoalError('usage', `${quoted(text)} is no number from ${LEAST_CONNECTIONS} to ${MOST_CONNECTIONS}`);
}

function onOrOff(variable: string, env: Readonly<Record<string, string | undefined>>): boolean {
  const text = env[variable] || 'on';
  if (text === 'on' || text === 'off') return text === 'on';
  throw new ShoalError('usage', `${variable}: ${quoted(text)} is neither "on" nor "off"`);
}

function mode(given: string | undefined, env: Readonly<Record<string, string | undefined>>): NetworkChoice['dht'] {
  const text = given ?? (env['SHOAL_DHT'] || 'auto');
  const found = DHT_MODES.find(known => known === text);
  if (found !== undefined) return found;
  const from = given === undefined ? 'SHOAL_DHT' : '--dht';
  throw new ShoalError('usage', `${from}: ${quoted(text)} is none of ${DHT_MODES.join(', ')}`);
}
