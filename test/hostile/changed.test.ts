import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, rename, rm, stat, symlink, truncate, utimes, writeFile, open } from 'node:fs/promises';
import { helloTo, listedIn, Peer, readLink, sha256, type Message, type Wire } from './peer.ts';
import { Stage } from './product.ts';

const SIZE = 6 * 2 ** 20;

/** What happens to a file behind the sharer's back. */
const CHANGES: Readonly<Record<string, (path: string) => Promise<void>>> = {
  shrank: path => truncate(path, SIZE / 2),
  'has other bytes': path => writeFile(path, randomBytes(SIZE)),
  'has one other byte, and its old time': async path => {
    const { atime, mtime } = await stat(path);
    const file = await open(path, 'r+');
    await file.write(Buffer.of(1), 0, 1, SIZE - 5 * 2 ** 19);
    await file.close();
    await utimes(path, atime, mtime);
  },
  'was replaced by another': async path => {
    await writeFile(`${path}.new`, randomBytes(SIZE));
    await rename(`${path}.new`, path);
  },
  'became a symbolic link to /etc/hostname': async path => {
    await rm(path);
    await symlink('/etc/hostname', path);
  },
  'became a pipe': async path => {
    await rm(path);
    execFileSync('mkfifo', [path]);
  },
};

describe('A sharer whose file was changed', () => {
  let stage: Stage;
  let asker: Peer;

  before(async () => {
    stage = await Stage.make();
    asker = await Peer.start();
  });
  after(async () => {
    await asker.stop();
    await stage.clear();
  });

  const names = Object.keys(CHANGES);
  for (const [n, pair] of [0, 2, 4].map(first => names.slice(first, first + 2)).entries()) {
    it(`sends nothing but chunks of the original, and then says so, when it ${pair.join(', or when it ')}`, () =>
      Promise.all(
        pair.map(async (name, i) => {
          const path = stage.path(`file-${n}-${i}`);
          await writeFile(path, randomBytes(SIZE));
          const { run, link } = await stage.share(path);
          const wire = await greeted(asker, link);
          const listed = listedIn(wire.root, 'data');
          await CHANGES[name]!(path);
          const messages = await takeAll(wire.wire, listed.length);
          const blocks = messages.filter(({ header }) => header['type'] === 'block');
          for (const { header, body } of blocks) {
            expect(hex(sha256(body)), name).to.equal(listed[Number(header['index'])]);
          }
          expect(blocks.length, name).to.be.lessThan(listed.length);
          expect(messages.at(-1)?.header, name).to.include({ type: 'refuse', reason: 'changed' });
          const ended = await run.ended;
          expect(ended.code, name).to.equal(6);
          expect(ended.stdout.toString() + ended.stderr.toString(), name).to.match(/changed|meantime/);
        }),
      )).timeout(30_000);
  }

  it('gives the chunks of a file that only grew, and lacks those of one that is gone', async () => {
    const path = stage.path('grows');
    await writeFile(path, randomBytes(SIZE));
    const { run, link } = await stage.share(path);
    const { wire, root } = await greeted(asker, link);
    const listed = listedIn(root, 'data');
    await appendFile(path, 'more');
    const blocks = await takeAll(wire, listed.length);
    expect(blocks.map(({ body }) => hex(sha256(body)))).to.deep.equal(listed);
    await rm(path);
    expect((await takeAll(wire, 1)).map(({ header }) => header['type'])).to.deep.equal(['lacks']);
    expect((await run.stop()).code).to.equal(130);
  });
});

/** A conversation with the right hello behind it, and the share block. */
async function greeted(asker: Peer, link: string): Promise<{ wire: Wire; root: Uint8Array }> {
  const { id, hints } = readLink(link);
  const wire = await asker.open(hints[0]!);
  await wire.say(helloTo(wire, id, asker.node.peerId));
  const hello = await wire.next();
  expect(hello?.header).to.include({ type: 'hello' });
  return { wire, root: hello!.body };
}

/** Asks for all chunks of the data, one after the other, and takes what comes. */
async function takeAll(wire: Wire, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  for (let index = 0; index < count; index++) {
    await wire.say({ type: 'get', kind: 'chunk', stream: 'data', ranges: [index, 1] });
    const message = await wire.next();
    if (message === undefined) break;
    messages.push(message);
  }
  return messages;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
