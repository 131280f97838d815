/** Names of files: how they are shown, and what they become where the target can not hold them or keep them apart. */
import { isUtf8 } from 'node:buffer';
import { escaped } from '../format/quoted.ts';
import { MAX_SEGMENT_BYTES } from '../limits.ts';

/** A name or path as it may be shown to people: `escaped`, and with `\x…` for each byte where it is not UTF-8. */
export function showName(name: string | Uint8Array): string {
  if (typeof name !== 'string' && !isUtf8(name)) {
    return Array.from(name, byte =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    ).join('');
  }
  return escaped(typeof name === 'string' ? name : Buffer.from(name).toString('utf8'));
}

/** The `n`-th name (from 2) to try where `name` is taken: `report (2).pdf`. Never longer than a segment may be. */
export function alternativeName(name: string, n: number): string {
  const dot = name.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const suffix = ` (${n})${extension}`;
  const room = MAX_SEGMENT_BYTES - Buffer.byteLength(suffix);
  return room > 0 ? shorten(stem, room) + suffix : alternativeName(shorten(name.replaceAll('.', '_'), 200), n);
}

/** What some of the names may take of the name of all. */
const MAX_PART_BYTES = 100;

/** A name for a folder of things with these names: it says what the first two are, and how many others. */
export function nameOfSeveral(names: readonly string[]): string {
  const [first = '', second] = names.slice(0, 2).map(name => {
    const short = shorten(name, MAX_PART_BYTES);
    return short === name ? name : `${short}…`;
  });
  if (second === undefined) return first;
  return names.length === 2 ? `${first} and ${second}` : `${first}, ${second} and ${names.length - 2} more`;
}

/** The longest beginning of `text`, in whole characters, that takes at most `bytes` bytes. */
function shorten(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let used = 0;
  let kept = '';
  for (const character of text) {
    used += Buffer.byteLength(character);
    if (used > bytes) break;
    kept += character;
  }
  return kept;
}

/**
 * A name that Windows and its file systems hold, as close to `name` as can be: reserved characters become `_`, as do a dot
 * or space at the end, and a device name gets a `_` behind its stem. Equal to `name` where that is fine already.
 */
export function portableName(name: string): string {
  const plain = name.replace(/[<>:"|?*\\\p{Cc}]/gu, '_').replace(/[. ]$/u, '_');
  return plain.replace(/^(con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?= *(?:\.|$))/iu, '$1_');
}

/**
 * A name under which something that others have named can stand beside part folders (sink.ts). Equal to `name` unless it
 * looks like one of those: what is in a part folder is taken for our own.
 */
export function harmlessName(name: string): string {
  return /^\.shoal-.*\.part$/su.test(foldName(name)) ? `_${name}` : name;
}

/** What case-insensitive and normalising file systems make of a name, nearly: names with different keys are kept apart. */
export function foldName(name: string): string {
  return name.normalize('NFD').toUpperCase().toLowerCase().normalize('NFC');
}
