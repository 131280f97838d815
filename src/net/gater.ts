/**
 * Which addresses this node dials. Strangers (the DHT) tell it addresses; one inside our own network would make this node
 * knock at our neighbours' doors, or at our own, for somebody else. So: what the user gave or the local network told is
 * dialled; what strangers told is dialled where it is public, or as near as one of our own starting points.
 */
import type { ConnectionGater, MultiaddrConnection } from '@libp2p/interface';
import { CODE_P2P, multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { MAX_LAN_ADDRESSES } from '../limits.ts';
import type { Admission } from '../protocol/admission.ts';

/** How far an address reaches. */
export type Scope = 'loopback' | 'link-local' | 'private' | 'public';

/** `name`: where it leads is only known when it is dialled. `never`: nothing that can be dialled. */
export type Place = Scope | 'name' | 'never';

export class Gater {
  readonly #given = new Set<string>();
  readonly #neighbours = new Set<string>();
  readonly #scopes = new Set<Scope>(['public']);
  #relays: ReadonlySet<string> = new Set();

  /** Whether `address` may be dialled. */
  allows(address: Multiaddr): boolean {
    const place = placeOf(address);
    if (place === 'never') return false;
    if (place !== 'name' && this.#scopes.has(place)) return true;
    const key = keyOf(address);
    return this.#given.has(key) || this.#neighbours.has(key);
  }

  /** `address` was given by the user: it is dialled wherever it leads. */
  allow(address: Multiaddr): void {
    keysOf(address).forEach(key => this.#given.add(key));
  }

  /** `address` was told by the local network. The oldest are forgotten beyond a limit, anyone there can tell many. */
  allowNeighbour(address: Multiaddr): void {
    for (const key of keysOf(address)) {
      this.#neighbours.delete(key);
      this.#neighbours.add(key);
    }
    for (const oldest of this.#neighbours) {
      if (this.#neighbours.size <= MAX_LAN_ADDRESSES) break;
      this.#neighbours.delete(oldest);
    }
  }

  /** Addresses of `scope` are dialled, whoever told them. */
  allowScope(scope: Scope): void {
    this.#scopes.add(scope);
  }

  /** `address` is one of our own starting points: what we learn there may be as near as it is. A name opens nothing. */
  startFrom(address: Multiaddr): void {
    this.allow(address);
    const place = placeOf(address);
    if (place !== 'never' && place !== 'name') this.allowScope(place);
  }

  /** Says at which relays, by their peer ids, this node has reserved: connections through others are refused. */
  takeThrough(relays: readonly string[]): void {
    this.#relays = new Set(relays);
  }

  takesThrough(relay: string): boolean {
    return this.#relays.has(relay);
  }
}

/**
 * The gater in the form that libp2p asks.
 * @param admission asked for each connection from outside before its handshake; it gets the place back when the connection
 *   is over, and thereby also when the handshake fails
 */
export function connectionGater(gater: Gater, admission?: Admission): ConnectionGater {
  return {
    denyDialMultiaddr: address => !gater.allows(address),
    denyInboundRelayedConnection: relay => !gater.takesThrough(relay.toString()),
    ...(admission === undefined ? {} : { denyInboundConnection: connection => isDenied(connection, admission) }),
  };
}

function isDenied(connection: MultiaddrConnection, admission: Admission): boolean {
  // One that was over before would never say so.
  if (connection.status !== 'open') return true;
  const permit = admission.admit('connection', { address: connection.remoteAddr.toString() });
  if ('denied' in permit) return true;
  connection.addEventListener('close', () => permit.release(), { once: true });
  return false;
}

/** Whether `address` leads through a relay. */
export function isRelayed(address: Multiaddr): boolean {
  return address.getComponents().some(({ name }) => name === CIRCUIT);
}

const CIRCUIT = 'p2p-circuit';

/** The peer id that a multiaddr ends in. */
export function peerOf(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(part => part.code === CODE_P2P)?.value;
}

/** How far `address` reaches; for a relayed one, that is its relay's, which is what is dialled. */
export function placeOf(address: Multiaddr): Place {
  // Only a multiaddr that was read from bytes has the bytes of its components.
  const [first, ...rest] = multiaddr(address.bytes).getComponents();
  const host = first?.name === 'ip6zone' ? rest.shift() : first;
  if (!isPlainCircuit(rest.map(({ name }) => name))) return 'never';
  if (rest.some(part => (part.name === 'tcp' || part.name === 'udp') && Number(part.value) === 0)) return 'never';
  switch (host?.name) {
    case 'ip4':
      return placeOfIp4(host.bytes?.subarray(-4));
    case 'ip6':
      return placeOfIp6(host.bytes?.subarray(-16));
    case 'dns':
    case 'dns4':
    case 'dns6':
    case 'dnsaddr':
      return 'name';
    default:
      return 'never';
  }
}

/** Of a relayed address: one relay, by its peer id, and behind it nothing but a peer. Whatever else stood there would be for the relay to dial. */
function isPlainCircuit(parts: readonly string[]): boolean {
  const at = parts.indexOf(CIRCUIT);
  if (at < 0) return true;
  const behind = parts.slice(at + 1);
  return parts[at - 1] === 'p2p' && behind.length <= 1 && behind.every(name => name === 'p2p');
}

/** Who may dial an address through a relay may dial the relay. */
function keysOf(address: Multiaddr): string[] {
  return isRelayed(address) ? [keyOf(address.decapsulate(`/${CIRCUIT}`)), keyOf(address)] : [keyOf(address)];
}

/** Addresses are compared without the peer id at their end: who answers there has to prove who it is. */
function keyOf(address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/[^/]+$/, '');
}

/** The IANA special-purpose address registry for IPv4; what is reserved for documentation and tests counts as private. */
function placeOfIp4(bytes: Uint8Array | undefined): Place {
  if (bytes?.length !== 4) return 'never';
  const [a = 0, b = 0, c = 0] = bytes;
  if (a === 0 || a >= 224) return 'never';
  if (a === 127) return 'loopback';
  if (a === 169 && b === 254) return 'link-local';
  if (a === 10 || (a === 172 && b >> 4 === 1) || (a === 192 && b === 168)) return 'private';
  if (a === 100 && b >> 6 === 1) return 'private';
  if ((a === 192 && b === 0 && (c === 0 || c === 2)) || (a === 198 && b >> 1 === 9)) return 'private';
  if ((a === 198 && b === 51 && c === 100) || (a === 203 && b === 0 && c === 113)) return 'private';
  return 'public';
}

/** The IANA special-purpose address registry for IPv6. An address that carries an IPv4 address leads to that one. */
function placeOfIp6(bytes: Uint8Array | undefined): Place {
  if (bytes?.length !== 16) return 'never';
  const groups = Array.from({ length: 8 }, (_, i) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(2 * i));
  const [first = 0, second = 0] = groups;
  if (startsWith(groups, [0, 0, 0, 0, 0, 0, 0])) {
    if (groups[7] === 1) return 'loopback';
    if (groups[7] === 0) return 'never';
  }
  const last4 = bytes.subarray(12);
  // IPv4-mapped and -translated (RFC 4291, RFC 2765), IPv4-compatible, NAT64 (RFC 6052).
  if (startsWith(groups, [0, 0, 0, 0, 0, 0xffff]) || startsWith(groups, [0, 0, 0, 0, 0xffff, 0]))
    return placeOfIp4(last4);
  if (startsWith(groups, [0, 0, 0, 0, 0, 0]) || startsWith(groups, [0x64, 0xff9b, 0, 0, 0, 0]))
    return placeOfIp4(last4);
  // 6to4 (RFC 3056) and Teredo (RFC 4380), which has its bits inverted.
  if (first === 0x2002) return placeOfIp4(bytes.subarray(2, 6));
  if (first === 0x2001 && second === 0) return placeOfIp4(last4.map(byte => byte ^ 0xff));
  if (first >> 8 === 0xff) return 'never';
  if (first >> 6 === 0xfe80 >> 6) return 'link-local';
  if (first >> 9 === 0xfc00 >> 9 || first >> 6 === 0xfec0 >> 6) return 'private';
  if (startsWith(groups, [0x64, 0xff9b, 1]) || startsWith(groups, [0x100, 0, 0, 0])) return 'private';
  if (first === 0x2001 && second === 0xdb8) return 'private';
  return 'public';
}

function startsWith(groups: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((group, i) => groups[i] === group);
}
