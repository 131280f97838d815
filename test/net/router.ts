/** A router of the test's own, which speaks NAT-PMP, or UPnP over SSDP and HTTP, and misbehaves by name. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface RouterOptions {
  /** Its address on the inside, and that of the interface where it is asked by multicast. */
  readonly host: string;
  readonly asked: string;
  readonly external: string;
  /** Seconds for which it says to map, whatever was asked. */
  readonly lifetimeSeconds?: number;
  /** Refuses the first so many mappings, as if others had the ports. */
  readonly conflicts?: number;
  readonly fault?: 'refuses' | 'huge' | 'elsewhere' | 'permanent' | 'garbage';
}

export interface TestRouter {
  /** External ports and where they lead. */
  readonly mapped: Map<number, number>;
  /** How often a mapping was made or renewed. */
  readonly asked: number;
  close(): void;
}

export async function natPmpRouter(options: RouterOptions): Promise<TestRouter> {
  const { host, external, fault, lifetimeSeconds } = options;
  const mapped = new Map<number, number>();
  const state = { mapped, asked: 0, close: (): void => void socket.close() };
  const socket = createSocket('udp4');
  socket.on('message', (request, from) => {
    const operation = request.readUInt8(1);
    const isMap = operation === 2;
    const answer = Buffer.alloc(isMap ? 16 : 12);
    answer.writeUInt8(128 + operation, 1);
    answer.writeUInt16BE(fault === 'refuses' && isMap ? 2 : 0, 2);
    if (!isMap) {
      external.split('.').forEach((part, n) => answer.writeUInt8(Number(part), 8 + n));
    } else if (fault !== 'refuses') {
      const [port, lifetime] = [request.readUInt16BE(4), request.readUInt32BE(8)];
      if (lifetime === 0) mapped.clear();
      else {
        mapped.set(request.readUInt16BE(6), port);
        state.asked++;
      }
      answer.writeUInt16BE(port, 8);
      answer.writeUInt16BE(request.readUInt16BE(6), 10);
      answer.writeUInt32BE(lifetime === 0 ? 0 : (lifetimeSeconds ?? lifetime), 12);
    }
    const garbage = [Buffer.alloc(0), Buffer.from([0, 128 + operation, 0, 0]), Buffer.alloc(1000, 7)];
    for (const sent of fault === 'garbage' ? garbage : [answer]) socket.send(sent, from.port, from.address);
  });
  socket.bind(5351, host);
  await once(socket, 'listening');
  return state;
}

const SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1';

export async function upnpRouter(options: RouterOptions): Promise<TestRouter> {
  const { host, fault } = options;
  const mapped = new Map<number, number>();
  const web = createServer();
  const [heard, answering] = [createSocket({ type: 'udp4', reuseAddr: true }), createSocket('udp4')];
  const state = {
    mapped,
    asked: 0,
    refused: 0,
    close: (): void => {
      web.close();
      web.closeAllConnections();
      heard.close();
      answering.close();
    },
  };
  web.on('request', (request, response) => void answer(options, state, request, response));
  web.listen(0, host);
  await Promise.all([once(web, 'listening'), bound(heard, 1900, '0.0.0.0'), bound(answering, 0, host)]);
  heard.addMembership('239.255.255.250', options.asked);
  const { port } = web.address() as AddressInfo;
  const at = fault === 'elsewhere' ? options.asked : host;
  heard.on('message', (search, from) => {
    const device = /^ST: (.*)\r$/m.exec(String(search))?.[1];
    if (device !== 'urn:schemas-upnp-org:device:InternetGatewayDevice:1') return;
    const lines = [
      'HTTP/1.1 200 OK',
      'CACHE-CONTROL: max-age=120',
      `ST: ${device}`,
      `Location: http://${at}:${port}/desc.xml`,
    ];
    answering.send([...lines, '', ''].join('\r\n'), from.port, from.address);
  });
  return state;
}

async function bound(socket: Socket, port: number, host: string): Promise<void> {
  socket.bind(port, host);
  await once(socket, 'listening');
}

interface State {
  readonly mapped: Map<number, number>;
  asked: number;
  refused: number;
}

async function answer(
  options: RouterOptions,
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { fault } = options;
  const body = await text(request);
  const say = (status: number, xml: string): void => {
    response.writeHead(status, { 'content-type': 'text/xml' });
    response.end(xml);
  };
  if (request.method === 'GET') describe(fault, response, say);
  else act(options, state, request.headers['soapaction'], body, say);
}

type Say = (status: number, xml: string) => void;

function describe(fault: RouterOptions['fault'], response: ServerResponse, say: Say): void {
  if (fault === 'huge') {
    const filler = Buffer.alloc(64 * 1024, '<service>');
    const more = (): void => {
      if (!response.destroyed) response.write(filler, more);
    };
    response.writeHead(200);
    more();
    return;
  }
  const service = (type: string, url: string): string =>
    `<service><serviceType>${type}</serviceType><controlURL>${url}</controlURL></service>`;
  say(
    200,
    `<?xml version="1.0"?><root><device>${service('urn:schemas-upnp-org:service:Layer3Forwarding:1', '/l3')}` +
      `<deviceList>${service(SERVICE, fault === 'garbage' ? 'http://198.51.100.1/ctl' : '/ctl')}</deviceList></device></root>`,
  );
}

function act(
  { external, fault, conflicts = 0 }: RouterOptions,
  state: State,
  header: string | string[] | undefined,
  body: string,
  say: Say,
): void {
  const action = String(header).replaceAll('"', '').split('#')[1] ?? '';
  const valueOf = (name: string): string => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1] ?? '';
  const outer = Number(valueOf('NewExternalPort'));
  if (action === 'AddPortMapping') {
    const isLease = valueOf('NewLeaseDuration') !== '0';
    const code =
      fault === 'refuses'
        ? 606
        : fault === 'permanent' && isLease
          ? 725
          : state.refused++ < conflicts
            ? 718
            : undefined;
    if (code !== undefined) {
      say(500, `<s:Fault><detail><UPnPError><errorCode>${code}</errorCode></UPnPError></detail></s:Fault>`);
      return;
    }
    state.asked++;
    state.mapped.set(outer, Number(valueOf('NewInternalPort')));
  } else if (action === 'DeletePortMapping') state.mapped.delete(outer);
  const inner = action === 'GetExternalIPAddress' ? `<NewExternalIPAddress>${external}</NewExternalIPAddress>` : '';
  say(200, `<s:Envelope><s:Body><u:${action}Response>${inner}</u:${action}Response></s:Body></s:Envelope>`);
}
