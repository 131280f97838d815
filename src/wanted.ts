/** What of a share is to be fetched, and what of that stands at its place already. */
import { holds, rightPieces, type OpenedShare } from './check.ts';
import { blamingTheMaker } from './carry.ts';
import type { Download, OpeningDeps } from './download.ts';
import { ShoalError } from './errors.ts';
import { streamKey } from './format/keys.ts';
import { Layout, placesOf } from './format/layout.ts';
import { oneOf } from './format/quoted.ts';
import { giveMemory } from './memory.ts';
import { openPiece } from './open.ts';
import type { Standing } from './ports.ts';
import { IndexSet } from './protocol/ranges.ts';

/** The part of a share that is to be fetched. */
export interface Wanted {
  readonly layout: Layout;
  /** Pieces of the data stream. */
  readonly pieces: IndexSet;
  /** Which entries, by their numbers; all when absent. */
  readonly selected?: (entry: number) => boolean;
  readonly summary: { readonly sizeBytes: number; readonly files: number };
}

/** @param only tells of the path of an entry whether it is wanted @throws ShoalError `usage` when nothing is */
export function wantedOf(share: OpenedShare, only: ((path: string) => boolean) | undefined): Wanted {
  if (only === undefined) return partOf(share, undefined);
  const chosen = new Set<number>();
  for (const [n, { path }] of share.manifest.entries.entries()) if (only(path)) chosen.add(n);
  if (chosen.size === 0)
    throw new ShoalError('usage', 'cannot fetch: nothing in the share matches --only; see its names with "shoal ls"');
  return partOf(share, chosen);
}

function partOf({ manifest, listing }: OpenedShare, chosen: ReadonlySet<number> | undefined): Wanted {
  const { entries } = manifest;
  const layout = new Layout(entries.map(entry => entry.size));
  const count = listing.count('data');
  const pieces = chosen === undefined ? IndexSet.full(count) : new IndexSet(count);
  const summary = { sizeBytes: 0, files: 0 };
  for (const [n, { size, directory }] of entries.entries()) {
    if (chosen?.has(n) === false) continue;
    summary.sizeBytes += size;
    if (directory !== true) summary.files += 1;
    if (chosen === undefined) continue;
    const { first, count: length } = layout.chunksOf(n);
    if (length > 0) pieces.addRanges([first, length]);
  }
  return { layout, pieces, summary, ...(chosen === undefined ? {} : { selected: n => chosen.has(n) }) };
}

/**
 * What is still to be got so that all that is wanted stands there; undefined when nothing is. All of the wanted that stands
 * there is compared: by sealing it again, and where a chunk holds bytes of files that are not there, by getting that chunk.
 * @throws ShoalError `exists` when something else stands in the way; what `download` throws
 */
export async function missingFrom(
  crypto: OpeningDeps['crypto'],
  download: Download,
  share: OpenedShare,
  wanted: Wanted,
  standing: Standing,
  signal: AbortSignal,
): Promise<Wanted | undefined> {
  const { entries, kind } = share.manifest;
  if (standing.isFolder !== (kind === 'folder')) throw otherThere(standing.root);
  const [alike, missing] = [new Set<number>(), new Set<number>()];
  let inTheWay: number | undefined;
  for (const [n] of entries.entries()) {
    if (wanted.selected?.(n) === false) continue;
    const found = standing.found[n];
    if (found === 'alike') alike.add(n);
    else if (found === 'none') missing.add(n);
    else inTheWay ??= n;
  }
  if (missing.size > 0 || inTheWay !== undefined) {
    // Another folder of that name: what is fetched is not to be mixed with that.
    if (!hasSomeOf(standing, entries)) throw otherThere(standing.root);
    if (inTheWay !== undefined) throw differs(standing.root, share, [inTheWay]);
  }
  await compareAlike(crypto, download, share, wanted, standing, alike, signal);
  return missing.size === 0 ? undefined : partOf(share, missing);
}

/** Whether a file of the share seems to be there: empty ones and folders tell nothing. */
function hasSomeOf({ found }: Standing, entries: OpenedShare['manifest']['entries']): boolean {
  return entries.some(({ size }, n) => size > 0 && found[n] === 'alike');
}

async function compareAlike(
  crypto: OpeningDeps['crypto'],
  download: Download,
  share: OpenedShare,
  { layout }: Wanted,
  { root, found }: Standing,
  alike: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<void> {
  const { manifest, listing } = share;
  const streamSize = listing.size('data');
  const placesIn = (index: number): ReturnType<typeof placesOf> => placesOf(root, manifest, layout, index, streamSize);
  const [whole, broken] = [new IndexSet(listing.count('data')), new Set<number>()];
  for (const index of partOf(share, alike).pieces) {
    if (placesIn(index).places.every(({ entry }) => found[entry] === 'alike')) whole.add(index);
    else broken.add(index);
  }
  const content = (index: number): Promise<{ content: ReturnType<typeof placesOf>['places']; zeros: number }> => {
    const { places, zeros } = placesIn(index);
    return Promise.resolve({ content: places, zeros });
  };
  for (const index of await rightPieces(crypto, share, whole, content, signal)) whole.delete(index);
  for (const index of whole) {
    const { places } = placesIn(index);
    // Where the difference may be in a file that is not wanted, the chunk tells.
    if (!places.every(({ entry }) => alike.has(entry))) broken.add(index);
    else
      throw differs(
        root,
        share,
        places.map(({ entry }) => entry),
      );
  }
  if (broken.size === 0) return;
  const dataKey = streamKey(share.key, 'data');
  const indices = [...broken].sort((a, b) => a - b);
  const take = async (index: number, chunk: Uint8Array, over: AbortSignal): Promise<void> => {
    const piece = await openPiece(crypto, share, dataKey, layout, index, chunk, over);
    let begin = 0;
    for (const place of placesIn(index).places) {
      const expected = piece.subarray(begin, (begin += place.length));
      if (alike.has(place.entry) && !(await holds(crypto, place, expected, over)))
        throw differs(root, share, [place.entry]);
    }
    giveMemory(piece);
  };
  await blamingTheMaker(() => download.blocks({ kind: 'chunk', stream: 'data', indices }, take));
}

function otherThere(root: string): ShoalError {
  return new ShoalError(
    'exists',
    `cannot fetch to "${root}": something else is there already; choose another place with --output, or replace it with --force`,
  );
}

/** @param numbers of the entries of which at least one differs */
function differs(root: string, { manifest }: OpenedShare, numbers: readonly number[]): ShoalError {
  if (manifest.kind === 'file') return otherThere(root);
  const names = oneOf(numbers.map(n => manifest.entries[n]?.path ?? ''));
  return new ShoalError(
    'exists',
    `cannot fetch to "${root}": what is there as ${names} is not what the share has; move that away, choose another place with --output, or replace all with --force`,
  );
}
