/** What people are told of a share that had to go so that another one has room. */
import type { ActionEvent } from '../src/daemon/actions.ts';
import { formatBytes } from '../src/format/sizes.ts';
import { SHORT_ID_CHARS } from '../src/limits.ts';

export function droppedLine({ id, bytes, copiesElsewhere }: Extract<ActionEvent, { event: 'dropped' }>): string {
  const copies = `${copiesElsewhere} complete ${copiesElsewhere === 1 ? 'copy' : 'copies'}`;
  return `dropped to make room: ${id.slice(0, SHORT_ID_CHARS)}, ${formatBytes(bytes)}, which was carried for others; ${copies} elsewhere`;
}
