import { expect } from 'chai';
import { createDecipheriv } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { derive, linkOf, type StreamName } from './peer.ts';
import { Stage } from './product.ts';
import { honest, serve, type Server } from './servers.ts';
import { shareOfTwoKeys } from './two-keys.ts';

describe('Ciphertext that opens under two keys', () => {
  const { share, otherKey, content, otherContent } = shareOfTwoKeys('what one is shown', 'what the other is shown');
  let stage: Stage;
  let server: Server;

  before(async () => {
    stage = await Stage.make();
    server = await serve(share, honest);
  });
  after(async () => {
    await server.stop();
    await stage.clear();
  });

  it('is such: both tags of every chunk hold, and the contents differ', () => {
    for (const stream of ['manifest', 'data'] as const)
      for (const key of [share.key, otherKey])
        expect(opened(key, stream, share.chunks[stream][0]!)).to.have.length(4096);
    expect(opened(share.key, 'data', share.chunks.data[0]!).equals(content)).to.equal(true);
    expect(opened(otherKey, 'data', share.chunks.data[0]!).equals(otherContent)).to.equal(true);
    expect(Buffer.from(content).toString('latin1')).to.match(/^what one is shown/);
    expect(Buffer.from(otherContent).toString('latin1')).to.include('what the other is shown');
  });

  it('is read under the key that its share block is committed to', async () => {
    const ended = await stage.fetch(linkOf(share, [server.hint]), stage.path('one'));
    expect(ended.code, ended.stdout.toString()).to.equal(0);
    expect((await readFile(stage.path('one'))).equals(content)).to.equal(true);
  });

  it('is refused as of a wrong key under the other one, and nothing of it is written', async () => {
    const before = await readdir(stage.folder);
    for (const command of [['fetch', '-o', stage.path('other')], ['ls']]) {
      const link = linkOf({ id: share.id, key: otherKey }, [server.hint]);
      const ended = await stage.start(['--json', ...command, link]).ended;
      expect(ended.events.at(-1)).to.include({ event: 'error', code: 'wrong-key', exitCode: 4 });
      expect(ended.code).to.equal(4);
      expect(ended.stdout.toString() + ended.stderr.toString()).not.to.include('what the other');
    }
    const homes = (name: string): boolean => !name.startsWith('home-');
    expect((await readdir(stage.folder)).filter(homes)).to.deep.equal(before.filter(homes));
  });
});

/** The plaintext of the first chunk of a stream. It throws where the tag does not hold. */
function opened(key: Uint8Array, stream: StreamName, chunk: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', derive(key, stream), Buffer.alloc(12));
  decipher.setAuthTag(chunk.subarray(-16));
  return Buffer.concat([decipher.update(chunk.subarray(0, -16)), decipher.final()]);
}
