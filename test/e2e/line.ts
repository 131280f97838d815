/** A TCP line on loopback between a fetcher and a sharer, which a test can hold at an exact byte, let go, and cut. */
import { once } from 'node:events';
import { portOf } from './harness.ts';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class Line {
  /** Bytes that have gone to who dialled. */
  bytes = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();
  #limit = Infinity;
  #held = Promise.withResolvers<undefined>();

  /** A line to a local port. */
  static async to(port: number): Promise<Line> {
    const line = new Line(port);
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    return line;
  }

  private constructor(port: number) {
    this.#server = createServer(near => this.#join(near, connect(port, '127.0.0.1')));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From the `bytes`-th byte on nothing goes to who dialled, until `release`. Resolves when a byte had to wait. */
  async holdAfter(bytes: number): Promise<void> {
    this.#limit = bytes;
    this.#held = Promise.withResolvers();
    await this.#held.promise;
  }

  release(): void {
    this.#limit = Infinity;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const go of waiting) go();
  }

  /** Ends all connections; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #join(near: Socket, far: Socket): void {
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    near.pipe(far);
    far.on('data', (bytes: Buffer) => this.#pass(bytes, near, far));
  }

  #pass(bytes: Buffer, near: Socket, far: Socket): void {
    const room = Math.max(0, this.#limit - this.bytes);
    const now = bytes.subarray(0, room);
    this.bytes += now.length;
    const hasRoom = now.length === 0 || near.write(now);
    if (now.length < bytes.length) {
      far.pause();
      this.#waiting.add(() => {
        this.#pass(bytes.subarray(now.length), near, far);
        if (!far.isPaused() || near.writableNeedDrain) return;
        far.resume();
      });
      this.#held.resolve(undefined);
    } else if (!hasRoom) {
      far.pause();
      near.once('drain', () => far.resume());
    }
  }
}

/** Lines to who serves a link, for each test of a suite, which are closed afterwards. */
export function useLines(): (link: string) => Promise<Line> {
  const lines: Line[] = [];
  afterEach(async () => {
    for (const line of lines.splice(0)) await line.close();
  });
  return async link => {
    const line = await Line.to(portOf(link));
    lines.push(line);
    return line;
  };
}
