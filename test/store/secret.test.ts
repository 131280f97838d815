import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockId } from '../../src/format/ids.ts';
import { SECRET_FILE, loadSecret, ownerSeed, peerSeed, sharePeerSeed, wrappingKey } from '../../src/store/secret.ts';
import { unwrap, wrap } from '../../src/store/wrap.ts';
import { failureOf } from '../contract/crypto.ts';

describe("the home's secret", () => {
  let home: string;
  let path: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'shoal-secret-'));
    path = join(home, SECRET_FILE);
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it('is made once and stays', async () => {
    const secret = await loadSecret(home, randomBytes);
    expect(secret).to.have.length(32);
    expect(await loadSecret(home, randomBytes)).to.deep.equal(secret);
    expect(readdirSync(home)).to.deep.equal([SECRET_FILE]);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
  });

  it('is the same for all who make it at once', async () => {
    const secrets = await Promise.all(Array.from({ length: 10 }, () => loadSecret(home, randomBytes)));
    for (const secret of secrets) expect(secret).to.deep.equal(secrets[0]);
    expect(readdirSync(home)).to.deep.equal([SECRET_FILE]);
  });

  it('is refused when others can read it, with what to do', async () => {
    await loadSecret(home, randomBytes);
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(path, mode);
      const error = await failureOf(loadSecret(home, randomBytes));
      expect(error).to.include({ code: 'home' });
      expect(error.message).to.include(`chmod 600 '${path}'`);
    }
  });

  it('is refused and left alone when it is damaged', async () => {
    await loadSecret(home, randomBytes);
    const good = readFileSync(path, 'utf8');
    for (const bad of [
      '',
      good.slice(0, -2),
      good.slice(1),
      `${good}\n`,
      good.replace(/[0-9a-f]\n$/, 'g\n'),
      'x'.repeat(5000),
    ]) {
      writeFileSync(path, bad, { mode: 0o600 });
      const error = await failureOf(loadSecret(home, randomBytes));
      expect(error).to.include({ code: 'home' });
      expect(error.message).not.to.include(good.split('\n')[1]!.slice(0, 60));
      expect(readFileSync(path, 'utf8')).to.equal(bad);
    }
  });

  it('is not read through a link', async () => {
    symlinkSync('/etc/hostname', path);
    expect(await failureOf(loadSecret(home, randomBytes))).to.include({ code: 'denied' });
  });

  it('gives keys for each purpose and salt that have nothing in common', () => {
    const secret = new Uint8Array(32);
    const keys = [
      wrappingKey(secret),
      peerSeed(secret),
      ownerSeed(secret, new Uint8Array(32)),
      ownerSeed(secret, new Uint8Array(32).fill(1)),
      sharePeerSeed(secret, 'bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3brue' as BlockId),
      sharePeerSeed(secret, 'bafyreidlwd5lg4litc4cjuenhqv2c7mt2qlk7b3dmcshmwdzdwcas3bruf' as BlockId),
      wrappingKey(new Uint8Array(32).fill(1)),
    ].map(key => Buffer.from(key).toString('hex'));
    expect(new Set(keys).size).to.equal(keys.length);
    for (const key of keys) expect(key).to.have.length(64);
  });
});

describe('wrapped secrets', () => {
  const [key, secret] = [randomBytes(32), randomBytes(32)];

  it('unwrap under the same key, for the same place', () => {
    const wrapped = wrap(key, secret, 'key/a', randomBytes);
    expect(unwrap(key, wrapped, 'key/a')).to.deep.equal(Uint8Array.from(secret));
    expect(wrap(key, secret, 'key/a', randomBytes)).not.to.deep.equal(wrapped);
  });

  it('do not unwrap otherwise', () => {
    const wrapped = wrap(key, secret, 'key/a', randomBytes);
    expect(unwrap(randomBytes(32), wrapped, 'key/a')).to.equal(undefined);
    expect(unwrap(key, wrapped, 'key/b')).to.equal(undefined);
    for (let i = 0; i < wrapped.length; i++) {
      const damaged = Uint8Array.from(wrapped);
      damaged[i]! ^= 1;
      expect(unwrap(key, damaged, 'key/a')).to.equal(undefined);
      expect(unwrap(key, wrapped.subarray(0, i), 'key/a')).to.equal(undefined);
    }
  });
});
