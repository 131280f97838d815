/** A host and a port, as people type where something listens: `127.0.0.1:4700`, `[::1]:4700`. */
import { ShoalError } from '../errors.ts';
import { quoted } from './quoted.ts';

export interface HostPort {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** @throws ShoalError `usage` */
export function parseHostPort(text: string): HostPort {
  const found = hostPortIn(text);
  if (found !== undefined) return found;
  throw new ShoalError('usage', `${quoted(text)} is not an address with a port, like 127.0.0.1:8080 or [::]:443`);
}

/** An address of this machine's own and a port: what passes there is not encrypted. @throws ShoalError `usage` */
export function parseLocalPort(text: string): HostPort {
  const found = hostPortIn(text);
  if (found !== undefined && isLoopback(found.host)) return found;
  throw new ShoalError(
    'usage',
    `${quoted(text)} is not an address of this machine's own with a port, like 127.0.0.1:4700; for other machines use a tunnel such as ssh -L`,
  );
}

function hostPortIn(text: string): HostPort | undefined {
  const [, bracketed, plain, port = ''] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s/]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const name = bracketed ?? plain;
  if (name === undefined || Number(port) > 65_535) return undefined;
  return { host: name === 'localhost' ? '127.0.0.1' : name, port: Number(port) };
}

function isLoopback(host: string): boolean {
  return host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}
