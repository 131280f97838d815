/** Asks a router for a port by NAT-PMP (RFC 6886), which those that speak PCP answer too. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { FIRST_ROUTER_RETRY_MS, ROUTER_PATIENCE_MS } from '../limits.ts';
import type { Router } from './router.ts';

const PORT = 5351;
const EXTERNAL_ADDRESS = 0;
const MAP_TCP = 2;
const IS_ANSWER = 128;

/**
 * The router at `gateway`, once it has told its external address.
 * @throws Error when it does not answer, or refuses
 */
export async function findNatPmp(gateway: string, signal: AbortSignal): Promise<Router> {
  await externalAddress(gateway, signal);
  return {
    kind: 'NAT-PMP',
    map: async ({ port, wantedPort, lifetimeMs }, until) => {
      const answer = await exchange(gateway, mapRequest(port, wantedPort, lifetimeMs / 1000), until);
      if (answer.readUInt16BE(8) !== port) throw new Error('the router has answered for another port');
      const host = await externalAddress(gateway, until);
      return { host, port: answer.readUInt16BE(10), lifetimeMs: answer.readUInt32BE(12) * 1000 };
    },
    unmap: async ({ port }, until) => {
      await exchange(gateway, mapRequest(port, 0, 0), until);
    },
  };
}

async function externalAddress(gateway: string, signal: AbortSignal): Promise<string> {
  const answer = await exchange(gateway, Buffer.from([0, EXTERNAL_ADDRESS]), signal);
  return answer.subarray(8, 12).join('.');
}

/** RFC 6886 §3.3. */
function mapRequest(port: number, wantedPort: number, lifetimeSeconds: number): Buffer {
  const request = Buffer.alloc(12);
  request.writeUInt8(MAP_TCP, 1);
  request.writeUInt16BE(port, 4);
  request.writeUInt16BE(wantedPort, 6);
  request.writeUInt32BE(Math.round(lifetimeSeconds), 8);
  return request;
}

/** Sends a request, again and again with pauses that double (RFC 6886 §3.1), until it is answered. */
async function exchange(gateway: string, request: Buffer, signal: AbortSignal): Promise<Buffer> {
  const socket = createSocket('udp4').on('error', () => undefined);
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(ROUTER_PATIENCE_MS)]);
  try {
    socket.connect(PORT, gateway);
    await once(socket, 'connect', { signal: until });
    const answer = answerTo(request, socket, until);
    void repeat(socket, request, until).catch(() => undefined);
    return await answer;
  } finally {
    ended.abort();
    socket.close();
  }
}

async function repeat(socket: Socket, request: Buffer, signal: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_ROUTER_RETRY_MS; ; pauseMs *= 2) {
    socket.send(request);
    await sleep(pauseMs, undefined, { signal });
  }
}

/** A connected socket hears nobody but the router. */
async function answerTo(request: Buffer, socket: Socket, signal: AbortSignal): Promise<Buffer> {
  const operation = request.readUInt8(1);
  for (;;) {
    const [answer] = (await once(socket, 'message', { signal })) as [Buffer];
    const isWhole = answer.length >= (operation === MAP_TCP ? 16 : 12);
    if (answer.length < 4 || answer.readUInt8(1) !== IS_ANSWER + operation) continue;
    const result = answer.readUInt16BE(2);
    if (result !== 0) throw new Error(`the router has refused, with code ${result}`);
    if (isWhole) return answer;
  }
}
