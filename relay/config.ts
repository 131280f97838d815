/** The configuration of a relay: one schema, from which its template, its defaults, its problems and what can be reloaded follow. */
import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { knownOf, readConfig, type Meta, type Reading, type TomlValue } from '../src/config.ts';
import { templateOf } from '../src/config-edit.ts';
import { isShoalError } from '../src/errors.ts';
import { parseDuration } from '../src/format/durations.ts';
import { isMultiaddr, isPeerId } from '../src/format/hint.ts';
import { parseHostPort, parseLocalPort, type HostPort } from '../src/format/host-port.ts';
import { parseBytes } from '../src/format/sizes.ts';
import { MAX_RELAY_COUNT, MAX_RELAY_LINE_CHARS } from '../src/limits.ts';

/** Of a value that has a default. */
type Said = Omit<Meta, 'preset' | 'expects' | 'description'>;

/** A value with a default, which is written as in the file. */
function preset<S extends z.ZodType>(schema: S, expects: string, description: string, value: z.input<S>, said?: Said) {
  const meta: Meta = { description, expects, example: value as TomlValue, preset: value as TomlValue, ...said };
  return schema.meta({ ...meta }).prefault(value as never);
}

/** A value that may be missing. */
function optional<S extends z.ZodType>(
  schema: S,
  expects: string,
  description: string,
  example: z.input<S>,
  said?: Said,
) {
  const meta: Meta = { description, expects, example: example as TomlValue, ...said };
  return schema.meta({ ...meta }).optional();
}

/** A list that is empty where it is missing. */
function list<S extends z.ZodArray>(schema: S, expects: string, description: string, example: z.input<S>) {
  return schema.meta({ description, expects, example: example as TomlValue } satisfies Meta).prefault([] as never);
}

function section<T extends z.core.$ZodLooseShape>(description: string, shape: T, live?: true) {
  const meta: Meta = { description, ...(live === undefined ? {} : { live }) };
  return z
    .strictObject(shape)
    .meta({ ...meta })
    .prefault({} as never);
}

/** A text that `read` makes a value of; what that throws is the problem. */
function textAs<T>(read: (text: string) => T) {
  return z.string().transform((text, context) => {
    try {
      return read(text);
    } catch (error) {
      if (!isShoalError(error)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** A text for which `holds`. Whatever it is else is said in the words of `expects`. */
function textThat(holds: (text: string) => boolean) {
  return z.string().superRefine((text, context) => {
    if (!holds(text)) context.addIssue({ code: 'invalid_format', format: 'text' });
  });
}

/** A duration, in seconds, that is not shorter than so many ms. */
function secondsFrom(leastMs: number) {
  return z.string().transform((text, context) => {
    const ms = durationOf(text);
    if (ms >= leastMs && ms < Infinity) return ms / 1000;
    context.addIssue({ code: 'invalid_format', format: 'duration' });
    return z.NEVER;
  });
}

const LIVE: Said = { live: true };
const line = z
  .string()
  .min(1)
  .max(MAX_RELAY_LINE_CHARS)
  .regex(/^[^\p{Cc}]+$/u);
const path = z.string().min(1);
const multiaddrs = z.array(textThat(isMultiaddr));
const httpsUrl = textThat(text => isUrl(text, ['https:']));
const bytes = textAs(parseBytes);
const seconds = secondsFrom(1000).transform(Math.floor);
const anySeconds = secondsFrom(1);
const number = z.number().int().min(0).max(MAX_RELAY_COUNT);

const SIZE = 'a size like "500 MB" or "100 GB"';
const TIME = 'a duration like "90s", "30 minutes" or "7 days"';
const NUMBER = `a whole number from 0 to ${MAX_RELAY_COUNT}`;
const SWITCH = 'true or false';
const ADDRESSES = 'a list of multiaddrs';

interface LimitPresets {
  readonly connections: number;
  readonly connections_per_second: number;
  readonly reservations: number;
  readonly reservations_per_minute: number;
  readonly circuits: number;
  readonly circuits_per_minute: number;
  readonly circuit_bytes_per_day: string;
  readonly served_bytes_per_day: string;
  readonly uploads: number;
}

/** What is counted of one relay, prefix, peer or token. */
function limitKeys(presets: LimitPresets) {
  const count = (key: keyof LimitPresets, description: string) =>
    preset(number, NUMBER, description, presets[key] as number);
  const size = (key: keyof LimitPresets, description: string) =>
    preset(bytes, SIZE, description, presets[key] as string);
  return {
    connections: count('connections', 'Connections at once.'),
    connections_per_second: count('connections_per_second', 'New connections in a second.'),
    reservations: count('reservations', 'Reservations at once: who has one can be reached through this relay.'),
    reservations_per_minute: count('reservations_per_minute', 'Reservations made in a minute.'),
    circuits: count('circuits', 'Circuits at once: connections through this relay.'),
    circuits_per_minute: count('circuits_per_minute', 'New circuits in a minute.'),
    circuit_bytes_per_day: size('circuit_bytes_per_day', 'Bytes through circuits in a day, both ways together.'),
    served_bytes_per_day: size('served_bytes_per_day', 'Bytes of stored blocks given to who fetches, in a day.'),
    uploads: count('uploads', 'Uploads at once.'),
  };
}

interface QuotaPresets {
  readonly circuit_bytes: string;
  readonly circuit_time: string;
  readonly leases: number;
  readonly stored_bytes: string;
  readonly lease_time: string;
}

/** What one of a tier may have. */
function quotaKeys(presets: QuotaPresets, whose: string) {
  return {
    reservation_time: preset(seconds, TIME, 'How long a reservation lasts; it can be renewed.', '1 hour'),
    circuit_bytes: preset(bytes, SIZE, 'Bytes of one circuit, both ways together.', presets.circuit_bytes),
    circuit_time: preset(seconds, TIME, 'How long one circuit lasts.', presets.circuit_time),
    leases: preset(number, NUMBER, `Shares that are stored for ${whose}.`, presets.leases),
    stored_bytes: preset(bytes, SIZE, `Bytes that are stored for ${whose}, all shares together.`, presets.stored_bytes),
    lease_time: preset(seconds, TIME, 'How long a share is stored; that can be renewed.', presets.lease_time),
  };
}

export const RELAY_SCHEMA = z
  .strictObject({
    relay: section(
      'What this relay is, and who runs it. All of this but data, lan and steady_clock is shown to everyone.',
      {
        name: preset(line, 'a line of text', 'What it is called.', 'a shoal relay', LIVE),
        operator: optional(line, 'a line of text', 'Who runs it.', 'Example Society', LIVE),
        contact: optional(
          textThat(isContact),
          'an e-mail address or a URL',
          'Where its operator can be reached: an e-mail address or a URL.',
          'abuse@relay.example',
          LIVE,
        ),
        terms: optional(
          httpsUrl,
          'a URL with https',
          'Where its terms can be read.',
          'https://relay.example/terms',
          LIVE,
        ),
        data: optional(
          path,
          'a path',
          'The folder with its key, tokens and what is stored; beside this file where it is not absolute. By default /var/lib/shoal-relay for root, else a folder of the user.',
          '/var/lib/shoal-relay',
        ),
        lan: preset(
          z.boolean(),
          SWITCH,
          'Whether private addresses that strangers tell may be dialled: for relays of a local network.',
          false,
        ),
        steady_clock: preset(
          anySeconds,
          TIME,
          'How long the clock has to have run evenly, since the start too, before what has run out is removed.',
          '1 hour',
        ),
      },
    ),
    network: section('Where peers find it.', {
      listen: preset(multiaddrs, ADDRESSES, 'Multiaddrs to listen on.', [
        '/ip4/0.0.0.0/tcp/4001',
        '/ip6/::/tcp/4001',
        '/ip4/0.0.0.0/tcp/4002/ws',
      ]),
      announce: list(multiaddrs, ADDRESSES, 'Multiaddrs under which it is reached, where those are others.', [
        '/dns4/relay.example/tcp/4001',
      ]),
      bootstrap: list(multiaddrs, ADDRESSES, 'Peers at which it begins in the DHT: multiaddrs.', [
        '/dns4/peer.example/tcp/4001/p2p/12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w',
      ]),
    }),
    roles: section('What it does for others.', {
      dht: preset(z.boolean(), SWITCH, 'Be a server of the DHT.', true),
      circuit: preset(z.boolean(), SWITCH, 'Pass on what peers behind routers say to each other.', true),
      autonat: preset(z.boolean(), SWITCH, 'Tell peers whether they can be reached from outside.', true),
      store: preset(z.boolean(), SWITCH, 'Store shares, and serve them while their owners are away.', true),
      http: preset(z.boolean(), SWITCH, 'Answer over HTTP.', true),
    }),
    http: section('Where it answers over HTTP.', {
      listen: preset(
        textAs(parseHostPort),
        'an address with a port',
        'The address and port to listen on.',
        '127.0.0.1:8080',
      ),
      origin: optional(
        textThat(isOrigin),
        'an origin like "https://relay.example"',
        'Under which the public reaches that, where a proxy stands in front of it.',
        'https://relay.example',
      ),
      trusted_proxies: list(
        z.array(textThat(isAddressBlock)),
        'a list of addresses and address blocks',
        'Proxies in front of it, whose X-Forwarded-For is believed: without, all who come through one count together.',
        ['127.0.0.1'],
      ),
      tls_cert: optional(
        path,
        'a path',
        'A certificate chain (PEM), where no proxy does TLS. Together with tls_key.',
        '/etc/shoal-relay/cert.pem',
      ),
      tls_key: optional(path, 'a path', 'Its key (PEM).', '/etc/shoal-relay/key.pem'),
    }),
    admin: section('Where its operator asks how it stands ("shoal-relay status").', {
      listen: optional(
        textAs(adminListen),
        'the path of a socket, or an address of this machine with a port',
        'The path of a Unix socket, by default admin.sock in the data folder; or an address of this machine and a port.',
        '127.0.0.1:8081',
      ),
      token_file: optional(
        path,
        'a path',
        'The file with the token that has to be sent where listen has a port; by default admin-token in the data folder.',
        '/etc/shoal-relay/admin-token',
      ),
    }),
    log: section('What it tells, on stderr.', {
      level: preset(
        z.enum(['debug', 'info', 'warn', 'error']),
        'one of "debug", "info", "warn", "error"',
        'How much: "debug", "info", "warn" or "error".',
        'info',
        LIVE,
      ),
      format: preset(
        z.enum(['json', 'pretty']),
        'one of "json", "pretty"',
        'For programs, "json", or for people, "pretty".',
        'json',
      ),
    }),
    limits: section(
      'What all may have of this relay together. Sizes are written "500 MB", "100 GB", "1 GiB"; times "90s", "30 minutes", "7 days".',
      {
        ...limitKeys({
          connections: 6000,
          connections_per_second: 200,
          reservations: 5000,
          reservations_per_minute: 1000,
          circuits: 1000,
          circuits_per_minute: 1000,
          circuit_bytes_per_day: '1 TB',
          served_bytes_per_day: '1 TB',
          uploads: 64,
        }),
        leases: preset(number, NUMBER, 'Shares that are stored.', 50_000),
        stored_bytes: preset(bytes, SIZE, 'Bytes that are stored.', '100 GB'),
        prefix: section(
          'What one address prefix may have: an IPv4 /24, or an IPv6 /48; an IPv6 /32 may have 8 times as much.',
          limitKeys({
            connections: 128,
            connections_per_second: 16,
            reservations: 64,
            reservations_per_minute: 128,
            circuits: 64,
            circuits_per_minute: 128,
            circuit_bytes_per_day: '20 GB',
            served_bytes_per_day: '50 GB',
            uploads: 4,
          }),
        ),
        peer: section(
          'What one peer may have.',
          limitKeys({
            connections: 8,
            connections_per_second: 8,
            reservations: 2,
            reservations_per_minute: 8,
            circuits: 32,
            circuits_per_minute: 64,
            circuit_bytes_per_day: '10 GB',
            served_bytes_per_day: '20 GB',
            uploads: 2,
          }),
        ),
      },
      true,
    ),
    tiers: section(
      'What is lent and stored, by who asks.',
      {
        anonymous: section(
          'Anyone. What is stored counts for all of an address prefix together.',
          quotaKeys(
            {
              circuit_bytes: '128 MiB',
              circuit_time: '30 minutes',
              leases: 64,
              stored_bytes: '1 GB',
              lease_time: '7 days',
            },
            'one address prefix',
          ),
        ),
        token: section(
          'Who presents an invite token ("shoal-relay token create"). What is stored, and the limits below, count for all holders of one token together.',
          {
            ...quotaKeys(
              {
                circuit_bytes: '1 GiB',
                circuit_time: '30 minutes',
                leases: 5000,
                stored_bytes: '100 GB',
                lease_time: '90 days',
              },
              'the holders of one token',
            ),
            ...limitKeys({
              connections: 128,
              connections_per_second: 16,
              reservations: 64,
              reservations_per_minute: 128,
              circuits: 64,
              circuits_per_minute: 128,
              circuit_bytes_per_day: '50 GB',
              served_bytes_per_day: '100 GB',
              uploads: 8,
            }),
          },
        ),
        operator: section(
          'The peers of [operator]. The limits of address prefixes and peers do not hold for them.',
          quotaKeys(
            {
              circuit_bytes: '16 GiB',
              circuit_time: '6 hours',
              leases: 50_000,
              stored_bytes: '1 TB',
              lease_time: '365 days',
            },
            'one of them',
          ),
        ),
      },
      true,
    ),
    operator: section(
      'Who runs this relay.',
      {
        peers: list(z.array(textThat(isPeerId)), 'a list of peer ids', 'Peer ids of its operator.', [
          '12D3KooWEk6UN2f8gWbJy9dEqzhDFoAZV4W2gAVmdMdyyLwQqY6w',
        ]),
      },
      true,
    ),
  })
  .superRefine(({ http }, context) => {
    if ((http.tls_cert === undefined) === (http.tls_key === undefined)) return;
    const [given, missing] = http.tls_cert === undefined ? ['tls_key', 'tls_cert'] : ['tls_cert', 'tls_key'];
    context.addIssue({
      code: 'custom',
      path: ['http', given],
      message: `it needs http.${missing} too; give both or none`,
    });
  });

/** A configuration in which everything that has a default is there; sizes in bytes, durations in seconds. */
export type RelayConfig = z.output<typeof RELAY_SCHEMA>;
/** What may be had at once, per second, minute or day; the keys are those of the file. */
export type Limits = { readonly [key in keyof LimitPresets]: number };
/** Where the admin listener is. */
export type AdminListen = { readonly kind: 'socket'; readonly path: string } | ({ readonly kind: 'port' } & HostPort);

/** Checks the text of a configuration. */
export function readRelayConfig(text: string): Reading<typeof RELAY_SCHEMA> {
  return readConfig(text, RELAY_SCHEMA);
}

/** The text of a file in which all is as it is by default. */
export function relayTemplate(): string {
  return templateOf(RELAY_SCHEMA, [
    'The configuration of a shoal relay, in TOML. Each key stands here as a comment, with its default or an example;',
    'to set it, remove the "#" in front of it. "shoal-relay check-config" says what is wrong with it. A relay that runs',
    'reads it again at SIGHUP, and takes over what it can without being started again:',
    `${liveOf().join(', ')}.`,
  ]);
}

/** Which keys differ: those that a relay that runs takes over, and those for which it has to be started again. */
export function changesBetween(old: RelayConfig, next: RelayConfig): { reloaded: string[]; needsRestart: string[] } {
  const changed = knownOf(RELAY_SCHEMA).filter(
    ({ path: at, isSection }) => !isSection && !isDeepStrictEqual(valueAt(old, at), valueAt(next, at)),
  );
  const keys = (isLive: boolean): string[] =>
    changed.filter(({ live }) => (live === true) === isLive).map(one => one.path.join('.'));
  return { reloaded: keys(true), needsRestart: keys(false) };
}

/** What can be reloaded: sections where that is all of them, else keys. */
function liveOf(): string[] {
  const live = knownOf(RELAY_SCHEMA).filter(one => one.live === true);
  const sections = live.filter(one => one.isSection).map(one => one.path.join('.'));
  const isIn = (key: string): boolean => sections.some(name => key.startsWith(`${name}.`));
  return live.flatMap(({ path: at, isSection }) => {
    const key = at.join('.');
    if (isIn(key)) return [];
    return [isSection ? `[${key}]` : key];
  });
}

function valueAt(config: RelayConfig, keys: readonly string[]): unknown {
  let at: unknown = config;
  for (const key of keys) at = (at as Readonly<Record<string, unknown>>)[key];
  return at;
}

function durationOf(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (!isShoalError(error)) throw error;
    return NaN;
  }
}

/** A path, unless it looks like an address with a port. */
function adminListen(text: string): AdminListen {
  if (text.includes('/') || !text.includes(':')) return { kind: 'socket', path: text };
  return { kind: 'port', ...parseLocalPort(text) };
}

function isContact(text: string): boolean {
  if (text.length > MAX_RELAY_LINE_CHARS) return false;
  return /^[^\s@/]+@[^\s@/]+$/.test(text) || isUrl(text, ['https:', 'http:', 'mailto:']);
}

function isOrigin(text: string): boolean {
  return isUrl(text, ['https:']) && new URL(text).origin === text;
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  return URL.canParse(text) && protocols.includes(new URL(text).protocol);
}

/** An IP address, or a block of them as in 10.0.0.0/8. */
function isAddressBlock(text: string): boolean {
  const [address = '', length, ...more] = text.split('/');
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  return (
    bits > 0 && more.length === 0 && (length === undefined || (/^[0-9]{1,3}$/.test(length) && Number(length) <= bits))
  );
}
