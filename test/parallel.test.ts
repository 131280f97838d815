import { expect } from 'chai';
import { Turns } from '../src/parallel.ts';

const never = new AbortController().signal;

describe('turns', () => {
  /** Work that ends when it is told to, and notes when it begins. */
  function work(begun: string[], name: string): { start: () => Promise<string>; end: () => void } {
    const { promise, resolve } = Promise.withResolvers<string>();
    const start = (): Promise<string> => {
      begun.push(name);
      return promise;
    };
    return { start, end: () => resolve(name) };
  }

  it('come one at a time for one key, in order, and at once for different keys', async () => {
    const turns = new Turns<string>();
    const begun: string[] = [];
    const [a1, a2, a3, b] = ['a1', 'a2', 'a3', 'b'].map(name => work(begun, name));
    const running = [a1!, a2!, a3!].map(({ start }) => turns.run('a', never, start));
    const other = turns.run('b', never, b!.start);
    expect(begun).to.deep.equal(['a1', 'b']);
    b!.end();
    await other;
    a1!.end();
    await running[0];
    expect(begun).to.deep.equal(['a1', 'b', 'a2']);
    a2!.end();
    a3!.end();
    expect(await Promise.all(running)).to.deep.equal(['a1', 'a2', 'a3']);
  });

  it('go on after work that fails, and can be taken again when nobody waits', async () => {
    const turns = new Turns<string>();
    const failure = new Error('for a test');
    const outcomes = await Promise.allSettled([
      turns.run('a', never, () => Promise.reject(failure)),
      turns.run('a', never, () => Promise.resolve('done')),
    ]);
    expect(outcomes.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled']);
    expect(await turns.run('a', never, () => Promise.resolve('again'))).to.equal('again');
  });

  it('need not be waited for: who gives up is passed over', async () => {
    const turns = new Turns<string>();
    const begun: string[] = [];
    const [first, last] = [work(begun, 'first'), work(begun, 'last')];
    const stop = new AbortController();
    const running = turns.run('a', never, first.start);
    const waiting = turns.run('a', stop.signal, () => Promise.reject(new Error('it has no turn')));
    const after = turns.run('a', never, last.start);
    const why = new Error('stopped');
    stop.abort(why);
    expect(await waiting.catch((error: unknown) => error)).to.equal(why);
    expect(begun).to.deep.equal(['first']);
    first.end();
    await running;
    last.end();
    expect(await after).to.equal('last');
  });
});
