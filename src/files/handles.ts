/** A few of many files or folders, held open: those used last. */

interface Held<T> {
  readonly handle: Promise<T>;
  users: number;
}

/** Opens things by their key when they are used, and closes the one that was not used for longest when there are too many. */
export class HandleCache<K, T extends { close(): Promise<void> }> {
  readonly #limit: number;
  readonly #open: (key: K) => Promise<T>;
  readonly #beforeClose: (key: K, handle: T) => Promise<void>;
  /** In order of use. */
  readonly #held = new Map<K, Held<T>>();
  readonly #closing = new Set<Promise<void>>();

  /** @param limit how many are held while none is in use; those in use are never closed. */
  constructor(
    limit: number,
    open: (key: K) => Promise<T>,
    beforeClose: (key: K, handle: T) => Promise<void> = async () => {},
  ) {
    this.#limit = limit;
    this.#open = open;
    this.#beforeClose = beforeClose;
  }

  /** Rejects also when one that had to be closed for it could not be closed: its contents may not have been written. */
  async use<R>(key: K, work: (handle: T) => Promise<R>): Promise<R> {
    const held = this.#held.get(key) ?? { handle: this.#open(key), users: 0 };
    this.#held.delete(key);
    this.#held.set(key, held);
    held.users += 1;
    let result: R;
    try {
      const handle = await held.handle.catch((error: unknown) => {
        if (this.#held.get(key) === held) this.#held.delete(key);
        throw error;
      });
      result = await work(handle);
    } finally {
      held.users -= 1;
    }
    await this.#closeIdle(this.#limit);
    return result;
  }

  /** Closes all; none is in use. */
  async close(): Promise<void> {
    await this.#closeIdle(0);
    await Promise.all(this.#closing);
  }

  async #closeIdle(limit: number): Promise<void> {
    const closed: Promise<void>[] = [];
    for (const [key, held] of this.#held) {
      if (this.#held.size <= limit) break;
      if (held.users > 0) continue;
      this.#held.delete(key);
      const closing = this.#closeOne(key, held).finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
      closed.push(closing);
    }
    const failed = (await Promise.allSettled(closed)).find(outcome => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #closeOne(key: K, held: Held<T>): Promise<void> {
    const handle = await held.handle;
    try {
      await this.#beforeClose(key, handle);
    } finally {
      await handle.close();
    }
  }
}
