/**
 * Fetches one link after the other, as commands in one process do: reads `{ link, output }` per line on stdin, and answers
 * each with a line of JSON that says how it ended and how much memory the process has had at most.
 */
import { createInterface } from 'node:readline';
import { perform } from '../../src/daemon/session.ts';
import { exitCodeOf, isShoalError } from '../../src/errors.ts';

const [, , home = ''] = process.argv;
const network = {
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: [],
  mdns: false,
  dht: 'off',
  portMapping: false,
} as const;
const session = { home, network, log: () => undefined, onNotice: () => undefined };

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line) as { link: string; output: string };
  const request = { ...asked, only: [], force: false, keep: false, explain: false, timeoutMs: 15_000 };
  const ending = await perform(session, 'fetch', request, () => undefined, new AbortController().signal).then(
    () => ({ exitCode: 0, code: '', message: '' }),
    (error: unknown) => {
      if (!isShoalError(error)) throw error;
      return { exitCode: exitCodeOf(error.code), code: error.code, message: error.message };
    },
  );
  console.log(JSON.stringify({ ...ending, peakMiB: process.resourceUsage().maxRSS / 1024 }));
}
