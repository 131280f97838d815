import { encode } from '@ipld/dag-cbor';
import { expect } from 'chai';
import { CID } from 'multiformats/cid';
import * as Digest from 'multiformats/hashes/digest';
import { randomBytes } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { linkOf, makeShare, manifestStream, padded, shareOfFile, type Fields, type Share } from './peer.ts';
import { Stage, type Ended } from './product.ts';
import { greet, honest, refusing, serve, type Behaviour, type Server } from './servers.ts';

/** A manifest may have 2^20 entries, and is read as a whole. */
const MAX_PEAK_MIB = 500;
const DATA = randomBytes(5000);
/** Controls but for the newline, and what turns the direction of writing. */

const ACTING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const ESCAPES = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202egnp.exe\u2066\r\n';

/** A folder with one harmless file and what is given. */
function folder(...entries: Fields[]): Share {
  return folderOf({ kind: 'folder', name: 'folder', entries: [{ path: 'A', size: DATA.length }, ...entries] });
}

function folderOf(manifest: unknown, data: Uint8Array = DATA): Share {
  return makeShare({ manifest: manifestStream(encode(manifest)), data: padded(data) });
}

function twisted(twist: (root: Fields) => Fields): Share {
  const manifest = { kind: 'file', name: 'x', entries: [{ path: 'x', size: DATA.length }] };
  return makeShare({ manifest: manifestStream(encode(manifest)), data: padded(DATA), twist });
}

function file(fields: Fields): Share {
  return folderOf({ kind: 'file', name: 'x', entries: [{ path: 'x', size: DATA.length }], ...fields });
}

const someBlock = (): CID => CID.createV1(0x71, Digest.create(0x12, randomBytes(32)));

/** Valid in all but the rule that each breaks: it opens with the key of its link. */
const BROKEN: Readonly<Record<string, () => Share>> = {
  'a path that begins with ../': () => folder({ path: '../canary/planted', size: 0 }),
  'a path with /../ within': () => folder({ path: 'a/../../canary/planted', size: 0 }),
  'an absolute path': () => folder({ path: '/tmp/shoal-planted', size: 0 }),
  'a path of .': () => folder({ path: '.', size: 0 }),
  'an empty path': () => folderOf({ kind: 'folder', name: 'f', entries: [{ path: '', size: DATA.length }] }),
  'an empty segment': () => folder({ path: 'a//b', size: 0 }),
  'a backslash': () => folder({ path: 'a\\..\\b', size: 0 }),
  'a NUL': () => folder({ path: 'a\0b', size: 0 }),
  'an ESC': () => folder({ path: `a${ESCAPES}`, size: 0 }),
  'a C1 control': () => folder({ path: 'a\u009b31m', size: 0 }),
  'a segment of 256 bytes': () => folder({ path: 'é'.repeat(128), size: 0 }),
  'a path of 5,000 bytes': () => folder({ path: 'abcd/'.repeat(1000) + 'e', size: 0 }),
  'a file that is a parent': () => folder({ path: 'a', size: 0 }, { path: 'a/b', size: 0 }),
  'the same path twice': () => folder({ path: 'a', size: 0 }, { path: 'a', size: 0 }),
  'entries out of order': () => folder({ path: 'b', size: 0 }, { path: 'a', size: 0 }),
  'a name that climbs': () => folderOf({ kind: 'folder', name: '..', entries: [{ path: 'A', size: DATA.length }] }),
  'a name with a slash': () => file({ name: '../x', entries: [{ path: '../x', size: DATA.length }] }),
  'a file called otherwise than its share': () => file({ name: 'y' }),
  'a file with two entries': () =>
    file({
      entries: [
        { path: 'x', size: DATA.length },
        { path: 'y', size: 0 },
      ],
    }),
  'a folder with a size': () => folder({ path: 'd', size: 1, directory: true }),
  'a kind that is a link': () => file({ kind: 'link' }),
  'an entry that is a link': () => folder({ path: 'a', size: 0, link: '/etc/passwd' }),
  'sizes beyond the data': () => file({ entries: [{ path: 'x', size: 2 ** 40 }] }),
  'sizes that add up to more than 2^53': () =>
    folder({ path: 'a', size: 2 ** 53 - 1 }, { path: 'b', size: 2 ** 53 - 1 }),
  'a negative size': () => folder({ path: 'a', size: -1 }),
  'a size that is no integer': () => folder({ path: 'a', size: 0.5 }),
  'data behind the last entry': () => folderOf({ kind: 'file', name: 'x', entries: [{ path: 'x', size: 10 }] }),
  'a note that is too long': () => file({ note: 'x'.repeat(4097) }),
  'a time out of range': () => folder({ path: 'a', size: 0, modified: 8.64e12 + 1 }),
  'padding that is not zero': () => {
    const data = padded(DATA);
    data[data.length - 1] = 1;
    const manifest = { kind: 'file', name: 'x', entries: [{ path: 'x', size: DATA.length }] };
    return makeShare({ manifest: manifestStream(encode(manifest)), data });
  },
  '2^20 + 1 entries, of which none is there': () => {
    const cbor = Buffer.from('a3646b696e6466666f6c646572646e616d65616667656e74726965739a00100001', 'hex');
    return makeShare({ manifest: manifestStream(cbor), data: padded(DATA) });
  },
  '2^20 + 1 entries': () => {
    const head = Buffer.from('a3646b696e6466666f6c646572646e616d65616667656e74726965739a00100001', 'hex');
    const entry = (n: number): Buffer => Buffer.from(`a2647061746867${hexOf(n)}6473697a6500`, 'hex');
    const cbor = Buffer.concat([head, ...Array.from({ length: 2 ** 20 + 1 }, (_, n) => entry(n))]);
    return makeShare({ manifest: manifestStream(cbor), data: new Uint8Array() });
  },
  'a manifest of 2^26 + 1 bytes claimed': () =>
    makeShare({ manifest: manifestStream(encode({}), 2 ** 26 + 1), data: padded(DATA) }),
  'a manifest stream too large for any manifest': () =>
    twisted(root => ({ ...root, manifest: { size: 2 ** 27, chunks: Array.from({ length: 129 }, someBlock) } })),
  'a manifest of 2^32 - 1 values nested': () =>
    makeShare({ manifest: manifestStream(Buffer.alloc(4000, 0x81)), data: padded(DATA) }),
  'a manifest that is random bytes': () =>
    makeShare({ manifest: manifestStream(randomBytes(3000)), data: padded(DATA) }),
  'a stream of 2^53 - 1 bytes with one index block': () =>
    twisted(root => ({ ...root, data: { size: 2 ** 53 - 1, index: [someBlock()] } })),
  'chunks that are not as many as the size says': () =>
    twisted(root => ({ ...root, data: { size: 2 ** 40, chunks: [someBlock()] } })),
  'an index block listed twice': () => {
    const block = someBlock();
    return twisted(root => ({ ...root, data: { size: 20_000 * (2 ** 20 - 16), index: [block, block] } }));
  },
  'an end that is no full hour': () => twisted(root => ({ ...root, expires: 4_000_000_001 })),
  'an owner of small order': () => twisted(root => ({ ...root, owner: new Uint8Array(32) })),
  'an entry that is not in the format': () => twisted(root => ({ ...root, extra: {} })),
};

/** How a fetch of the child process ended. */
interface Ending {
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly peakMiB: number;
}

describe('A fetch of a hostile share', () => {
  const servers: Server[] = [];
  let stage: Stage;

  before(async () => {
    stage = await Stage.make();
    await mkdir(stage.path('canary'));
    await writeFile(stage.path('canary', 'bird'), 'sings');
    await mkdir(stage.path('out'));
  });
  after(() => stage.clear());
  afterEach(async () => {
    await Promise.all(servers.splice(0).map(server => server.stop()));
  });

  const start = async (share: Share, behaviour: Behaviour = honest): Promise<Server> => {
    const server = await serve(share, behaviour);
    servers.push(server);
    return server;
  };

  const fetchOf = async (share: Share, behaviour: Behaviour = honest, timeout = '10s'): Promise<Ended> => {
    const { hint } = await start(share, behaviour);
    return await stage.fetch(linkOf(share, [hint]), stage.path('out'), '--timeout', timeout);
  };

  it('ends the program with 1 and one line', async () => {
    const ended = await fetchOf(BROKEN['an ESC']!());
    expect(ended.code).to.equal(1);
    expect(ended.events.at(-1)).to.include({ event: 'error', code: 'malformed', exitCode: 1 });
    expect(ended.stdout.toString() + ended.stderr.toString()).not.to.match(ACTING);
  });

  describe('in a process that fetches many, refuses', () => {
    let fetcher: ChildProcess;
    let answers: AsyncIterator<string>;
    let tree: string[] = [];

    before(async () => {
      tree = await treeOf(stage);
      const script = join(import.meta.dirname, 'fetches.child.ts');
      fetcher = spawn(process.execPath, [script, stage.path('home-many')], { stdio: ['pipe', 'pipe', 'inherit'] });
      answers = createInterface({ input: fetcher.stdout! })[Symbol.asyncIterator]();
    });
    after(() => fetcher.kill());

    for (const [name, make] of Object.entries(BROKEN)) {
      it(name, async () => {
        const share = make();
        const server = await start(share);
        const output = stage.path('out');
        fetcher.stdin!.write(`${JSON.stringify({ link: linkOf(share, [server.hint]), output })}\n`);
        const answer = await answers.next();
        expect(answer.done, 'the process lives').not.to.equal(true);
        const ending = JSON.parse(String(answer.value)) as Ending;
        expect(ending).to.include({ exitCode: 1, code: 'malformed' });
        expect(ending.message)
          .to.match(/^cannot .{10,300}$/)
          .and.not.match(ACTING);
        expect(ending.peakMiB).to.be.lessThan(MAX_PEAK_MIB);
        expect(await treeOf(stage)).to.deep.equal(tree);
        expect(await readFile(stage.path('canary', 'bird'), 'utf8')).to.equal('sings');
      });
    }
  });

  it('keeps names apart that are twins elsewhere, and takes what Unix allows', async () => {
    const entries = ['A', 'COM1', 'a', 'dot.', 'e\u0301', '\u00e9'].sort(byBytes).map(path => ({ path, size: 1 }));
    const share = folderOf({ kind: 'folder', name: 'twins', entries }, Buffer.from('abcdef'));
    expect((await fetchOf(share)).code).to.equal(0);
    const found = await readdir(stage.path('out', 'twins'));
    expect(found.sort(byBytes)).to.deep.equal(entries.map(({ path }) => path));
    const contents = await Promise.all(entries.map(({ path }) => readFile(stage.path('out', 'twins', path), 'utf8')));
    expect(contents.join('')).to.equal('abcdef');
  });

  it('is not kept busy, nor filled, by a share block that lists 400 TB', async () => {
    const index = Array.from({ length: 24_000 }, someBlock);
    const share = twisted(root => ({ ...root, data: { size: 24_000 * 16_384 * (2 ** 20 - 16), index } }));
    const claiming: Behaviour = async talk => {
      await greet(talk, { have: { manifest: [0, 1], data: [0, 24_000 * 16_384] } });
      await talk.wire.over;
    };
    const began = performance.now();
    const ended = await fetchOf(share, claiming, '2s');
    expect(ended.code, ended.stdout.toString()).to.equal(3);
    expect(ended.peakMiB).to.be.lessThan(MAX_PEAK_MIB);
    expect(performance.now() - began, 'ms').to.be.lessThan(20_000);
  }).timeout(60_000);

  it('lets nothing act on the terminal: names, notes, details of refusals, paths', async () => {
    const name = 'photo\u202egnp.exe\u2066';
    const evil = shareOfFile(name, DATA, { note: ESCAPES });
    const server = await start(evil);
    const refusers = await Promise.all(
      ['blocked', 'busy', 'over-quota'].map(reason => start(evil, refusing({ reason, detail: ESCAPES }))),
    );
    const link = linkOf(
      evil,
      [server, ...refusers].map(({ hint }) => hint),
    );
    const refusedLink = linkOf(
      evil,
      refusers.map(({ hint }) => hint),
    );
    const runs = await Promise.all(
      [
        ['fetch', '-o', stage.path('out') + '/evil/', link],
        ['--json', 'fetch', '-o', stage.path('out') + '/json/', link],
        ['--debug', 'ls', link],
        ['--json', 'ls', link],
        ['--debug', 'fetch', '--timeout', '2s', '-o', stage.path('out') + '/none/', refusedLink],
        ['fetch', '-o', stage.path(ESCAPES.replaceAll('\0', '')), link],
      ].map(args => stage.start(args).ended),
    );
    expect(runs.map(({ code }) => code)).to.deep.equal([0, 0, 0, 0, 3, 0]);
    for (const [n, { stdout, stderr }] of runs.entries()) {
      expect(stdout.toString() + stderr.toString(), `run ${n}`).not.to.match(ACTING);
    }
    expect(await readFile(stage.path('out', 'evil', name))).to.deep.equal(DATA);
  }).timeout(60_000);
});

/** Everything below the stage but for homes and part folders. */
async function treeOf(stage: Stage): Promise<string[]> {
  const paths = await readdir(stage.folder, { recursive: true });
  return paths.filter(path => !/^home-|(^|\/)\.shoal-/.test(path)).sort();
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Six digits that sort as the numbers do, in hexadecimal. */
function hexOf(n: number): string {
  return Buffer.from(String(n).padStart(7, '0').slice(-7)).toString('hex');
}
