/** Part folders, as those find them that come in the midst of another's removal. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDirectory } from '../../src/files/directory.ts';
import { claimPart, partName, removePart } from '../../src/files/part.ts';
import { ShoalError } from '../../src/errors.ts';
import type { Directory } from '../../src/ports.ts';

describe('A part folder', () => {
  let path = '';
  let parent: Directory;
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'shoal-part-'));
    parent = await openDirectory(path);
  });
  afterEach(async () => {
    await parent.close();
    await rm(path, { recursive: true });
  });

  /** `parent`, from which another removes the folder just before the first step of this kind. */
  const removingBefore = (step: 'stat' | 'enter'): Directory => {
    let isDone = false;
    return new Proxy(parent, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          if (name === step && !isDone) {
            isDone = true;
            await parent.remove(partName('x'));
          }
          return await (value.bind(target) as (...given: unknown[]) => Promise<unknown>)(...args);
        };
      },
    });
  };
  const inUse = (): ShoalError => new ShoalError('in-use', 'in use');

  for (const step of ['stat', 'enter'] as const) {
    it(`is made again when its owner removes it just before another would ${step} it`, async () => {
      const { part, held } = await claimPart(removingBefore(step), path, 'x', inUse);
      expect(await readdir(path)).to.deep.equal([partName('x')]);
      held.release();
      await part.close();
      await removePart(parent, 'x');
    });
  }
});
