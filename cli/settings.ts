/**
 * The settings of this program: one table, from which the options, the variables, the configuration file and what is said of
 * it are made. A further setting is one more entry.
 */
import { isShoalError, ShoalError } from '../src/errors.ts';
import { parseLocalPort } from '../src/format/host-port.ts';
import { quoted } from '../src/format/quoted.ts';
import { parseBytes } from '../src/format/sizes.ts';
import { LEAST_CONNECTIONS, MAX_CONNECTIONS, MOST_CONNECTIONS } from '../src/limits.ts';
import { parseRate } from './units.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** A value as it stands in the file. */
type Given = string | number | boolean | readonly string[];

/** What a setting may be. */
interface Kind<T> {
  readonly type: 'text' | 'number' | 'switch' | 'list';
  /** Completes "it is not …". */
  readonly expects: string;
  readonly example?: Given;
  /** All that it may be, where that is little. */
  readonly choices?: readonly string[];
  /** @param given of the type @throws ShoalError `usage`, without what it is a value of */
  readonly read: (given: Given) => T;
}

export interface Setting {
  /** Section and key in the file. */
  readonly key: string;
  readonly description: string;
  readonly kind: Kind<unknown>;
  /** What holds where none is given. */
  readonly fallback: Given | undefined;
  /** Where the fallback does not show what can be written. */
  readonly example?: Given;
  readonly option?: { readonly flags: string; readonly description: string };
  readonly variable?: string;
  /** Is for the node: how it meets others. */
  readonly network?: true;
  /** Says the same in another way. The one of two that comes from a stronger source holds; from one source there may be one only. */
  readonly excludes?: string;
}

const LISTEN_ADDRESSES: Kind<readonly string[]> = addresses('/ip4/192.0.2.1/tcp/4001');

const SWITCH: Kind<boolean> = { type: 'switch', expects: 'true or false', read: given => given === true };

/** undefined for no limit. */
const RATE: Kind<number | undefined> = {
  type: 'text',
  expects: 'a rate in bytes per second',
  example: '5 MB/s',
  read: given => {
    const bytesPerSecond = parseRate(String(given));
    return bytesPerSecond === Infinity ? undefined : bytesPerSecond;
  },
};

/** undefined for no limit. */
const SIZE: Kind<number | undefined> = {
  type: 'text',
  expects: 'a size in bytes',
  example: '50 GB',
  read: given => (given === 'unlimited' ? undefined : parseBytes(String(given))),
};

const LOCAL_PORT: Kind<{ readonly host: string; readonly port: number }> = {
  type: 'text',
  expects: 'an address of this machine and a port',
  read: given => parseLocalPort(String(given)),
};

function addresses(example: string): Kind<readonly string[]> {
  return {
    type: 'list',
    expects: 'a list of multiaddrs',
    read: given => {
      const texts = given as readonly string[];
      const bad = texts.find(text => !text.startsWith('/'));
      if (bad === undefined) return [...texts];
      throw wrong(bad, `is not a multiaddr like ${example}`);
    },
  };
}

function choice<const C extends string>(...choices: readonly C[]): Kind<C> {
  return {
    type: 'text',
    expects: `one of ${choices.map(quoted).join(', ')}`,
    choices,
    read: given => {
      const found = choices.find(one => one === given);
      if (found === undefined) throw wrong(given, `is none of ${choices.join(', ')}`);
      return found;
    },
  };
}

function wholeNumber(least: number, most: number): Kind<number> {
  const expects = `a whole number from ${least} to ${most}`;
  return {
    type: 'number',
    expects,
    read: given => {
      if (typeof given === 'number' && Number.isInteger(given) && given >= least && given <= most) return given;
      throw wrong(given, `is not ${expects}`);
    },
  };
}

function wrong(given: Given, why: string): ShoalError {
  return new ShoalError('usage', `${typeof given === 'number' ? given : quoted(String(given))} ${why}`);
}

/** What the sections of the file are about. */
export const SECTIONS: Readonly<Record<string, string>> = {
  network: 'How this node meets others.',
  rate: 'How fast it may be, in bytes per second: "500 kB/s", "5 MB/s", "2 MiB/s", or "unlimited".',
  store: 'The encrypted blocks that a home keeps: copies of its own shares, and what it carries for others.',
  daemon: 'The process that holds the home.',
};

/** By the names under which commander gives the options. */
export const SETTINGS = {
  listen: {
    key: 'network.listen',
    description: 'Multiaddrs to listen on, in the place of all interfaces and any port. Not together with port.',
    kind: LISTEN_ADDRESSES,
    fallback: [],
    example: ['/ip4/192.0.2.1/tcp/4001'],
    option: { flags: '--listen <addr>', description: 'listen on this multiaddr (default: all interfaces, any port)' },
    variable: 'SHOAL_LISTEN',
    network: true,
  },
  port: {
    key: 'network.port',
    description:
      'The TCP port to listen on, on all interfaces. Without it a free one is taken, and taken again the next time where that is free.',
    kind: wholeNumber(1, 65_535),
    fallback: undefined,
    example: 4001,
    option: { flags: '--port <number>', description: 'listen on this TCP port of all interfaces while sharing' },
    variable: 'SHOAL_PORT',
    network: true,
    excludes: 'listen',
  },
  bootstrap: {
    key: 'network.bootstrap',
    description:
      'Peers to begin at, none by default: multiaddrs. Of one that ends in /p2p/ and a peer id, nobody else is taken for it.',
    kind: addresses('/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…'),
    fallback: [],
    example: ['/dns4/peer.example/tcp/4001/p2p/12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w'],
    option: { flags: '--bootstrap <addr>', description: 'begin at this peer, a multiaddr with /p2p/' },
    variable: 'SHOAL_BOOTSTRAP',
    network: true,
  },
  mdns: {
    key: 'network.mdns',
    description: 'Whether to look for peers on the local network, and be found there.',
    kind: SWITCH,
    fallback: true,
    option: { flags: '--no-mdns', description: 'do not look for peers on the local network' },
    variable: 'SHOAL_MDNS',
    network: true,
  },
  dht: {
    key: 'network.dht',
    description: 'The part taken in the DHT: "auto", "client", "server" or "off".',
    kind: choice('auto', 'client', 'server', 'off'),
    fallback: 'auto',
    option: { flags: '--dht <mode>', description: 'part taken in the DHT (default: auto)' },
    variable: 'SHOAL_DHT',
    network: true,
  },
  maxConnections: {
    key: 'network.max-connections',
    description: 'Connections at most, to others and from them.',
    kind: wholeNumber(LEAST_CONNECTIONS, MOST_CONNECTIONS),
    fallback: MAX_CONNECTIONS,
    option: { flags: '--max-connections <number>', description: 'have no more connections than this (default: 300)' },
    variable: 'SHOAL_MAX_CONNECTIONS',
    network: true,
  },
  portMapping: {
    key: 'network.port-mapping',
    description: 'Whether to ask the router to let others in (UPnP, NAT-PMP).',
    kind: SWITCH,
    fallback: true,
    option: { flags: '--no-port-mapping', description: 'do not ask the router for a port that others can reach' },
    variable: 'SHOAL_PORT_MAPPING',
    network: true,
  },
  maxUp: {
    key: 'rate.up',
    description: 'What is sent at most, of all shares together.',
    kind: RATE,
    fallback: 'unlimited',
    option: {
      flags: '--max-up <rate>',
      description: 'send no more than this of blocks, like "500 kB/s", to all peers together',
    },
    variable: 'SHOAL_MAX_UP',
    network: true,
  },
  maxDown: {
    key: 'rate.down',
    description: 'What is received at most, of all shares together.',
    kind: RATE,
    fallback: 'unlimited',
    option: { flags: '--max-down <rate>', description: 'receive no more than this, from all peers together' },
    variable: 'SHOAL_MAX_DOWN',
    network: true,
  },
  quota: {
    key: 'store.quota',
    description:
      'What they may take of the disk: "50 GB", "1.5 TiB", or "unlimited". The last bytes of the disk are never taken. When it is full, what is carried for others goes where others have it.',
    kind: SIZE,
    fallback: 'unlimited',
  },
  apiListen: {
    key: 'daemon.api-listen',
    description: 'Where programs of this machine find the API, besides its socket. By default nowhere.',
    kind: LOCAL_PORT,
    fallback: undefined,
    example: '127.0.0.1:4700',
  },
  logLevel: {
    key: 'daemon.log-level',
    description: 'How much the daemon tells: "debug", "info", "warn" or "error".',
    kind: choice('debug', 'info', 'warn', 'error'),
    fallback: 'info',
  },
} as const satisfies Readonly<Record<string, Setting>>;

type Table = typeof SETTINGS;
export type SettingName = keyof Table;

type ValueOf<S> = S extends { readonly kind: Kind<infer T>; readonly fallback: infer F }
  ? F extends undefined
    ? T | undefined
    : T
  : never;

/** As commander gives them; absent where they were not on the command line. */
export type GlobalOptions = {
  readonly json?: true;
  readonly quiet?: true;
  readonly debug?: true;
  /** The configuration file. */
  readonly config?: string;
} & Readonly<Partial<Record<SettingName, string | readonly string[] | boolean>>>;

/** Where a value comes from: weakest first. */
const STRENGTH = ['default', 'file', 'environment', 'option'] as const;
export type Source =
  | { readonly from: 'default' }
  | { readonly from: 'file'; readonly line: number }
  /** `name` of the variable, or of the option. */
  | { readonly from: 'environment' | 'option'; readonly name: string };

export interface Chosen<T> {
  /** As it is given, in the words of the file. */
  readonly given: Given | undefined;
  readonly value: T;
  readonly source: Source;
}

export type Settings = { readonly [S in SettingName]: Chosen<ValueOf<Table[S]>> };

/** What stands in the file, by its key. */
export type FileValues = ReadonlyMap<string, { readonly given: Given; readonly line: number }>;

/**
 * Each setting by its strongest source: the command line, then the environment, then the file.
 * @throws ShoalError `usage`
 */
export function settingsOf(options: GlobalOptions, env: Env, file: FileValues = new Map()): Settings {
  const chosen = new Map(settingList().map(one => [one.name, choose(one, options, env, file)]));
  for (const { name, setting } of settingList()) {
    const other = settingList().find(one => one.name === setting.excludes)?.name;
    const [mine, theirs] = [chosen.get(name), other === undefined ? undefined : chosen.get(other)];
    if (other === undefined || mine === undefined || theirs === undefined) continue;
    if (isSet(mine) && isSet(theirs) && mine.source.from === theirs.source.from) {
      throw new ShoalError('usage', `${nameOf(mine, name)} and ${nameOf(theirs, other)} do not go together`);
    }
    const weaker = strengthOf(mine) < strengthOf(theirs) ? name : other;
    chosen.set(weaker, choose({ name: weaker, setting: SETTINGS[weaker] }, {}, {}, new Map()));
  }
  // One value for each name, of the type that its kind reads; a compiler can't follow that through entries.
  return Object.fromEntries(chosen) as unknown as Settings;
}

/** All settings, in the order of the table. */
export function settingList(): { readonly name: SettingName; readonly setting: Setting }[] {
  return Object.entries(SETTINGS).map(([name, setting]) => ({ name: name as SettingName, setting }));
}

function choose(
  { name, setting }: { readonly name: SettingName; readonly setting: Setting },
  options: GlobalOptions,
  env: Env,
  file: FileValues,
): Chosen<unknown> {
  const { kind, fallback, key, option, variable = '' } = setting;
  const [typed, text, written] = [options[name], env[variable], file.get(key)];
  const of = (given: Given, source: Source): Chosen<unknown> => ({ given, value: kind.read(given), source });
  if (option !== undefined && typed !== undefined) {
    const flag = flagOf(option);
    return named(flag, () => of(givenOf(kind, typed), { from: 'option', name: flag }));
  }
  if (text) return named(variable, () => of(givenOf(kind, text), { from: 'environment', name: variable }));
  if (written !== undefined) return named(key, () => of(written.given, { from: 'file', line: written.line }));
  if (fallback === undefined) return { given: undefined, value: undefined, source: { from: 'default' } };
  return of(fallback, { from: 'default' });
}

/** A value for the file, as it is typed for a setting. @throws ShoalError `usage` */
export function typedValue({ key, kind }: Setting, typed: string | readonly string[]): Given {
  return named(key, () => {
    const given = givenOf(kind, typed);
    kind.read(given);
    return given;
  });
}

/**
 * A value as it would stand in the file, from how it is typed: several as a list, or with commas between them.
 * @throws ShoalError `usage`
 */
function givenOf({ type }: Kind<unknown>, typed: string | readonly string[] | boolean): Given {
  if (typeof typed === 'boolean') return typed;
  if (type === 'list') {
    const texts = typeof typed === 'string' ? typed.split(',').map(text => text.trim()) : typed;
    return texts.filter(text => text !== '');
  }
  const text = String(typed);
  if (type === 'number') return /^[0-9]{1,15}$/.test(text) ? Number(text) : text;
  if (type === 'text') return text;
  if (!['on', 'off', 'true', 'false'].includes(text)) throw wrong(text, 'is neither "on" nor "off"');
  return text === 'on' || text === 'true';
}

/** How a node meets others, of all settings. */
export type NetworkChoice = {
  readonly [S in SettingName as Table[S] extends { readonly network: true } ? S : never]: ValueOf<Table[S]>;
};

export function networkOf(settings: Settings): NetworkChoice {
  // As above: the names are those of the type.
  return Object.fromEntries(networkNames().map(name => [name, settings[name].value])) as unknown as NetworkChoice;
}

/** Of the settings of the network that were asked for with this command, the option or the variable that did, in the words of the user. */
export function askedOf(settings: Settings): { readonly [S in keyof NetworkChoice]?: string } {
  const asked = networkNames().flatMap(name => {
    const { source } = settings[name];
    return source.from === 'option' || source.from === 'environment' ? [[name, source.name] as const] : [];
  });
  return Object.fromEntries(asked);
}

/** The options of the network that were given, as they are typed, for another process of this program. */
export function networkArgs(options: GlobalOptions): string[] {
  return networkNames().flatMap(name => {
    const { option }: Setting = SETTINGS[name];
    const typed = options[name];
    if (option === undefined || typed === undefined) return [];
    if (typeof typed === 'boolean') return [flagOf(option)];
    return [typed].flat().flatMap(value => [flagOf(option), value]);
  });
}

function networkNames(): SettingName[] {
  return settingList().flatMap(({ name, setting }) => (setting.network === true ? [name] : []));
}

function flagOf({ flags }: { readonly flags: string }): string {
  return flags.split(' ', 1)[0] ?? flags;
}

/** Says by which name a wrong value was given. */
function named<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isShoalError(error, 'usage')) throw new ShoalError('usage', `${name}: ${error.message}`, { cause: error });
    throw error;
  }
}

function isSet({ source }: Chosen<unknown>): boolean {
  return source.from !== 'default';
}

function strengthOf({ source }: Chosen<unknown>): number {
  return STRENGTH.indexOf(source.from);
}

function nameOf({ source }: Chosen<unknown>, name: SettingName): string {
  return 'name' in source ? source.name : SETTINGS[name].key;
}
