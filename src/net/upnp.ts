/**
 * Asks a router for a port by UPnP: SSDP to find it, then SOAP to its WANIPConnection or WANPPPConnection (versions 1 and 2).
 * Anyone on the local network may answer, so nothing is asked of a host but that which answered itself, and answers are
 * bounded.
 */
import { createSocket } from 'node:dgram';
import { on, once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { MAX_ROUTER_ANSWER_BYTES, MAX_ROUTERS, ROUTER_PATIENCE_MS, ROUTER_REQUEST_MS } from '../limits.ts';
import type { Router } from './router.ts';

const GROUP = '239.255.255.250';
const SSDP_PORT = 1900;
const DEVICES = [1, 2].map(version => `urn:schemas-upnp-org:device:InternetGatewayDevice:${version}`);
const SERVICES = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
];
/** UPnP's code for: leases are not supported, mappings last until they are removed. */
const PERMANENT_ONLY = '725';

/** Where a router takes its orders. */
interface Control {
  readonly service: string;
  readonly url: URL;
}

/**
 * The first router that answers on the network of `host`, an IPv4 address of this machine.
 * @throws Error when none does in time
 */
export async function findUpnp(host: string, signal: AbortSignal): Promise<Router> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(ROUTER_PATIENCE_MS)]);
  let asked = 0;
  for await (const location of locations(host, until)) {
    if (++asked > MAX_ROUTERS) break;
    const control = await controlAt(location, until).catch(() => undefined);
    if (control !== undefined) return routerAt(control, host);
  }
  throw new Error('no router has answered');
}

function routerAt(control: Control, host: string): Router {
  const mapping = (externalPort: number): Argument[] => [
    ['NewRemoteHost', ''],
    ['NewExternalPort', externalPort],
    ['NewProtocol', 'TCP'],
  ];
  return {
    kind: 'UPnP',
    map: async ({ port, wantedPort, lifetimeMs }, signal) => {
      const add = (seconds: number): Promise<string> =>
        call(
          control,
          'AddPortMapping',
          [
            ...mapping(wantedPort),
            ['NewInternalPort', port],
            ['NewInternalClient', host],
            ['NewEnabled', 1],
            ['NewPortMappingDescription', 'shoal'],
            ['NewLeaseDuration', seconds],
          ],
          signal,
        );
      await add(Math.round(lifetimeMs / 1000)).catch((error: unknown) => {
        if (!(error instanceof Refused) || error.code !== PERMANENT_ONLY) throw error;
        return add(0);
      });
      const answer = await call(control, 'GetExternalIPAddress', [], signal);
      return { host: textOf(answer, 'NewExternalIPAddress') ?? '', port: wantedPort, lifetimeMs };
    },
    unmap: async ({ externalPort }, signal) => {
      await call(control, 'DeletePortMapping', mapping(externalPort), signal);
    },
  };
}

/** Where routers describe themselves, as they answer to a search. */
async function* locations(host: string, signal: AbortSignal): AsyncGenerator<URL> {
  const socket = createSocket('udp4').on('error', () => undefined);
  try {
    socket.bind(0, host);
    await once(socket, 'listening', { signal });
    socket.setMulticastInterface(host);
    // Twice, since datagrams get lost.
    for (const device of [...DEVICES, ...DEVICES]) socket.send(searchFor(device), SSDP_PORT, GROUP);
    const answers = on(socket, 'message', { signal }) as AsyncIterable<[Buffer, { readonly address: string }]>;
    for await (const [answer, from] of answers) {
      const location = /^location:[ \t]*(\S{1,500})\r?$/im.exec(answer.toString('latin1'))?.[1];
      const url = location === undefined ? undefined : httpAt(location, from.address);
      if (url !== undefined) yield url;
    }
  } finally {
    socket.close();
  }
}

function searchFor(device: string): string {
  const lines = [
    'M-SEARCH * HTTP/1.1',
    `HOST: ${GROUP}:${SSDP_PORT}`,
    'MAN: "ssdp:discover"',
    'MX: 1',
    `ST: ${device}`,
  ];
  return [...lines, '', ''].join('\r\n');
}

/** A URL of HTTP at this very host; undefined for any other. */
function httpAt(text: string, host: string, base?: URL): URL | undefined {
  if (!URL.canParse(text, base?.href)) return undefined;
  const url = new URL(text, base);
  return url.protocol === 'http:' && url.hostname === host ? url : undefined;
}

/** @throws Error when there is no description, or no service in it that maps ports */
async function controlAt(location: URL, signal: AbortSignal): Promise<Control> {
  const { text } = await ask(location, 'GET', {}, '', signal);
  const services = text.split('<service>').slice(1);
  for (const service of SERVICES) {
    const found = services.find(one => textOf(one, 'serviceType') === service);
    const url = httpAt(textOf(found ?? '', 'controlURL') ?? '', location.hostname, location);
    if (found !== undefined && url !== undefined) return { service, url };
  }
  throw new Error('the router does not map ports');
}

type Argument = readonly [name: string, value: string | number];

/** A router says no, with a code of UPnP. */
class Refused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`the router has refused, with code ${/^[0-9]{1,5}$/.test(code) ? code : 'unknown'}`);
    this.code = code;
  }
}

/** Does an action of the service. Arguments are our own, and need no escaping. @throws Refused */
async function call(
  { service, url }: Control,
  action: string,
  args: readonly Argument[],
  signal: AbortSignal,
): Promise<string> {
  const inner = args.map(([name, value]) => `<${name}>${value}</${name}>`).join('');
  const body =
    `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ` +
    `s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>` +
    `<u:${action} xmlns:u="${service}">${inner}</u:${action}></s:Body></s:Envelope>`;
  const headers = { 'content-type': 'text/xml; charset="utf-8"', soapaction: `"${service}#${action}"` };
  const { status, text } = await ask(url, 'POST', headers, body, signal);
  if (status !== 200) throw new Refused(textOf(text, 'errorCode') ?? '');
  return text;
}

async function ask(
  url: URL,
  method: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(ROUTER_REQUEST_MS)]);
  const all = { ...headers, 'content-length': String(Buffer.byteLength(body)) };
  const request = httpRequest(url, { method, headers: all, agent: false, signal: until });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_ROUTER_ANSWER_BYTES) throw new Error('the answer of the router is too long');
    parts.push(part);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() };
}

/** What stands in the first element of this name. */
function textOf(xml: string, name: string): string | undefined {
  const start = xml.indexOf(`<${name}>`);
  const end = xml.indexOf(`</${name}>`, start);
  return start < 0 || end < 0 ? undefined : xml.slice(start + name.length + 2, end).trim();
}
