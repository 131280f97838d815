/** A fetched output becomes a share of the home: its chunks are made again from the output itself when somebody asks. */
import { ShoalError } from './errors.ts';
import type { Fetched } from './fetch.ts';
import type { Link } from './format/link.ts';
import { decodeShareBlock } from './format/share-block.ts';
import { checkKept, type Shelf } from './kept.ts';
import { keyOf } from './open.ts';
import type { Clock } from './ports.ts';

/**
 * Adds what was fetched to the catalog. Its blocks but for the data are in the store.
 * @throws ShoalError `not-shareable` where the output has other names than the share; `unavailable` when a block is not there
 */
export async function keepFetched(
  { catalog, store, clock }: Shelf & { readonly clock: Clock },
  link: Link,
  fetched: Fetched,
): Promise<void> {
  if (fetched.renamed)
    throw new ShoalError(
      'not-shareable',
      'cannot serve what was fetched: some of its names had to be changed here; the output itself is complete',
    );
  await store.sync(link.id);
  await checkKept(store, link.id, false);
  const { expires } = decodeShareBlock(await store.read(link.id, { kind: 'share' }));
  const { kind, name } = fetched.manifest;
  catalog.add(
    {
      id: link.id,
      kind,
      name,
      sizeBytes: fetched.sizeBytes,
      files: fetched.files,
      source: 'fetched',
      root: fetched.path,
      hints: link.hints.map(hint => hint.text),
      createdAt: Math.floor(clock.now() / 1000),
      serveAlways: false,
      ...(expires === undefined ? {} : { expires }),
    },
    { key: keyOf(link) },
  );
}
