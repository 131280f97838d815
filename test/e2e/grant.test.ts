/** Who may read: real programs that share to identities and passphrases, and fetch by what they have. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { expectDone, failureOf, TEST_TIMEOUT_MS, useSandbox, type Sandbox } from './harness.ts';
import { Relay } from './relays.ts';
import { makeFile, noise } from './tree.ts';

interface Made {
  readonly link: string;
  readonly grant: { readonly id: string; readonly expires: number };
}

const MB = 1_000_000;

describe('grants', function () {
  this.timeout(TEST_TIMEOUT_MS);
  this.slow(20_000);
  const sandbox = useSandbox();

  /** Makes an identity in a home, and gives its recipient. */
  async function keygen(box: Sandbox, home: string, args: readonly string[] = []): Promise<string> {
    const made = await box.run(home, ['keygen', ...args]);
    expect(made.code, made.stderr).to.equal(0);
    return made.stdout.toString().trim();
  }

  async function source(box: Sandbox, name = 'letter'): Promise<{ path: string; bytes: Buffer }> {
    const bytes = noise(name, 3 * MB);
    return { path: await makeFile(box.path(name), { bytes }), bytes };
  }

  it('let those read whom a share was made for, by the identities in their homes, and nobody else', async () => {
    const box = sandbox();
    const { path, bytes } = await source(box);
    const [ann, bob] = [await keygen(box, 'ann'), await keygen(box, 'bob')];
    expect(ann).to.match(/^age1pq1/);
    expectDone(await box.run('sharer', ['contacts', 'add', 'ann', ann, '--json']));
    await writeFile(box.path('team'), `# the team\n${bob}\n`);
    const { link, id } = await box.share('sharer', path, ['--to', 'ann', '--to', `@${box.path('team')}`]);
    expect(link, 'it holds no key').to.match(/^shoal:b[a-z2-7]{58}@/);
    for (const reader of ['ann', 'bob']) {
      expectDone(await box.run(reader, ['fetch', link, '-o', box.path(reader), '--json']));
      expect((await readFile(box.path(reader))).equals(bytes)).to.equal(true);
      const listed = await box.run(reader, ['ls', link]);
      expect(listed.stdout.toString()).to.include('letter');
    }
    await keygen(box, 'stranger');
    const refused = await box.run('stranger', ['fetch', link, '-o', box.path('not')]);
    expect(refused.code).to.equal(4);
    expect(refused.stderr).to.include('it was made for post-quantum age recipients (age1pq1…)');
    const shown = await box.run('sharer', ['show', id]);
    expect(shown.stdout.toString()).to.match(/granted: ann, age1pq1\S+ \(b[a-z2-7]+\)/);
  });

  it('are made again for others, and touch and upload nothing', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const { path, bytes } = await source(box);
    const ended = await box.run('sharer', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    const { id = '' } = ended.last('shared');
    const before = await relay.receivedBytes();
    const recipient = await keygen(box, 'ann', ['--x25519']);
    expect(recipient).to.match(/^age1[a-z0-9]{58}$/);
    const granted = await box.run('sharer', ['grant', id, '--to', recipient, '--json']);
    expect(granted.code, granted.stderr).to.equal(0);
    const [told] = granted.told;
    expect(told).to.deep.include({ relays: [relay.origin], lacking: [] });
    // The sharer is not there any more: grant and blocks come from the relay.
    expectDone(await box.run('ann', ['fetch', told?.link ?? '', '-o', box.path('out'), '--json']));
    expect((await readFile(box.path('out'))).equals(bytes)).to.equal(true);
    expect(await relay.receivedBytes()).to.equal(before);
    await relay.kill();
    await relay.again();
    expectDone(await box.run('ann', ['fetch', told?.link ?? '', '-o', box.path('again'), '--json']));
  });

  it('are opened by a passphrase that was made for them, and say so of a wrong one', async () => {
    const box = sandbox();
    const { path, bytes } = await source(box);
    const command = box.start('sharer', ['share', path, '--hint', 'self', '--passphrase']);
    const [, passphrase = ''] = await command.says(/the passphrase is (\S+)/);
    await command.says(/who has this link and knows the passphrase can read it/);
    const link = command.stdout.trim();
    expect(link).to.match(/^shoal:b[a-z2-7]{58}@/);
    await writeFile(box.path('word'), `${passphrase}\n`);
    const given: readonly { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> }[] = [
      { args: ['--passphrase-file', box.path('word')], env: {} },
      { args: [], env: { SHOAL_PASSPHRASE: passphrase } },
    ];
    for (const [n, { args, env }] of given.entries()) {
      const out = box.path(`out${n}`);
      expectDone(await box.run('reader', ['fetch', link, '-o', out, '--json', ...args], { env }));
      expect((await readFile(out)).equals(bytes)).to.equal(true);
    }
    const wrong = await box.run('reader', ['fetch', link], { env: { SHOAL_PASSPHRASE: 'another one' } });
    expect(wrong.code).to.equal(4);
    expect(wrong.stderr)
      .to.match(/passphrase/)
      .and.not.to.include('another one');
    const none = await box.run('reader', ['fetch', link]);
    expect(none.code).to.equal(4);
    expect(none.stderr).to.include('a passphrase');
  });

  it('never mix kinds of recipients, and are not begun where one is wrong', async () => {
    const box = sandbox();
    const { path } = await source(box);
    const [classic, hybrid] = [await keygen(box, 'ann', ['--x25519']), await keygen(box, 'bob')];
    const mixed = await box.run('sharer', ['share', path, '--to', classic, '--to', hybrid]);
    expect([mixed.code, mixed.stdout.toString()]).to.deep.equal([2, '']);
    const wrong = await box.run('sharer', ['share', path, '--to', 'nobody-i-know']);
    expect([wrong.code, wrong.stdout.toString()]).to.deep.equal([2, '']);
    expect(wrong.stderr).to.include('nobody-i-know');
    const both = await box.run('sharer', ['share', path, '--to', classic, '--passphrase']);
    expect(both.code).to.equal(2);
    expect((await box.run('sharer', ['shares', '--json'])).told[0]?.shares ?? []).to.deep.equal([]);
  });

  it('are kept with the share by who carries or keeps it, who gives both', async () => {
    const box = sandbox();
    const { path, bytes } = await source(box);
    const recipient = await keygen(box, 'ann');
    const { link, command } = await box.share('sharer', path, ['--to', recipient]);
    const helper = box.start('helper', ['seed', link, '--json']);
    const seeding = await helper.event('seeding');
    const daemonless = await box.run('helper', ['status', '--json']);
    const [address = ''] = (daemonless.told[0]?.addresses ?? []) as string[];
    await command.interrupt();
    const [main = ''] = link.split('@');
    expectDone(await box.run('ann', ['fetch', `${main}@${address}`, '-o', box.path('out'), '--json']));
    expect((await readFile(box.path('out'))).equals(bytes)).to.equal(true);
    expect(seeding.name, 'it can not be read here').to.equal('');
  });

  it('are withdrawn one by one, also at relays, and leave the share to others', async () => {
    const box = sandbox();
    const relay = await Relay.start(box, 'one');
    const { path, bytes } = await source(box);
    const [ann, bob] = [await keygen(box, 'ann'), await keygen(box, 'bob')];
    const shared = await box.run('sharer', ['share', path, '--relay', relay.origin, '--wait-copies', '1', '--json']);
    const { id = '' } = shared.last('shared');
    const made: Made[] = [];
    for (const to of [ann, bob]) {
      const granted = await box.run('sharer', ['grant', id, '--to', to, '--expires', '7d', '--json']);
      expect(granted.code, granted.stderr).to.equal(0);
      made.push(granted.told[0] as unknown as Made);
    }
    const [first, second] = made;
    if (first === undefined || second === undefined) throw new Error('two grants were made');
    expect(first.grant.expires % 3600).to.equal(0);
    expectDone(await box.run('sharer', ['withdraw', first.grant.id, '--yes', '--json']));
    const refused = await box.run('ann', ['fetch', first.link, '-o', box.path('no'), '--timeout', '20s']);
    expect(refused.code, refused.stderr).to.equal(5);
    expect(refused.stderr).to.match(/withdrawn by the sharer on \d{4}-\d\d-\d\d/);
    expectDone(await box.run('bob', ['fetch', second.link, '-o', box.path('yes'), '--json']));
    expect((await readFile(box.path('yes'))).equals(bytes)).to.equal(true);
    const { grants } = (await box.run('sharer', ['show', id, '--json'])).told[0] as unknown as { grants: unknown[] };
    expect(grants).to.have.lengthOf(1);
    expect((await readFile(path)).equals(bytes), 'the file is as it was').to.equal(true);
  });

  it('leave nothing in the home of who was only asked for a passphrase', async () => {
    const box = sandbox();
    const { path } = await source(box);
    const recipient = await keygen(box, 'ann');
    const { link } = await box.share('sharer', path, ['--to', recipient]);
    const secret = (await readFile(box.path('homes', 'ann', 'identities', 'default.txt'), 'utf8'))
      .trim()
      .split('\n')
      .at(-1);
    expect(secret).to.match(/^AGE-SECRET-KEY-PQ-1/);
    expect((await stat(box.path('homes', 'ann', 'identities', 'default.txt'))).mode & 0o777).to.equal(0o600);
    // Another home, the identity given by its file, or typed into a pipe.
    await writeFile(box.path('identity'), `${secret}\n`, { mode: 0o600 });
    expectDone(
      await box.run('other', ['fetch', link, '--identity', box.path('identity'), '-o', box.path('out'), '--json']),
    );
    const daemon = await box.daemon('ann');
    expectDone(await box.run('ann', ['fetch', link, '-o', box.path('held'), '--json']));
    daemon.kill('SIGTERM');
    const { stderr } = await daemon.ended;
    expect(stderr).not.to.include('AGE-SECRET');
    expect(failureOf(await box.run('ann', ['show', link])).code, 'it was only fetched').to.equal(1);
  });
});
