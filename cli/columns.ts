/** Text in the columns of a terminal, where some characters take two and some none. */
import { escaped } from '../src/format/quoted.ts';

/** A character and what picks its looks. Those of two columns: East Asian wide and full-width ones (Unicode Standard Annex 11), and emoji. */
const CHARACTER = /.\ufe0f?/gsu;
const WIDE =
  /^(?:[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]|(?!\p{Regional_Indicator})\p{Emoji_Presentation}|\p{Emoji}\ufe0f)/u;
/** Marks that stand on another character, and the middle and end of a Korean syllable; a spacing mark (Mc) has a column of its own. */
const NOTHING = /^[\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u1160-\u11ff\ud7b0-\ud7fb]/u;

let segmenter: Intl.Segmenter | undefined;

/** What is read as one character. Making the segmenter takes as long as printing the help does, and most text is ASCII. */
function graphemesOf(text: string): string[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/**
 * How many columns `text`, which has no controls, takes, counted by character as C libraries do. Where a terminal joins several
 * emoji into one (a family, a tone of skin), it takes fewer; this is the most.
 */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const [character] of text.matchAll(CHARACTER))
    width += NOTHING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** `text`, with `…` in its middle or at its end where it would take more than `columns`. Never wider than that. */
export function fit(text: string, columns: number, cut: 'middle' | 'end' = 'middle'): string {
  if (widthOf(text) <= columns) return text;
  if (columns < 1) return '';
  const parts = graphemesOf(text);
  const head = taken(parts, cut === 'end' ? columns - 1 : Math.ceil((columns - 1) / 2));
  if (cut === 'end') return `${head.join('')}…`;
  const tail = taken(parts.toReversed(), columns - 1 - widthOf(head.join('')));
  return `${head.join('')}…${tail.toReversed().join('')}`;
}

/** The first of `parts` that take at most `columns`. */
function taken(parts: readonly string[], columns: number): string[] {
  let width = 0;
  const end = parts.findIndex(part => (width += widthOf(part)) > columns);
  return parts.slice(0, end < 0 ? parts.length : end);
}

/** `text` with spaces behind or, where `side` is `right`, before it, up to `columns`. */
export function padded(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, columns - widthOf(text)));
  return side === 'left' ? text + space : space + text;
}

/** `field: value`, a line each; what has no value is left out. */
export function fieldLines(fields: readonly (readonly [field: string, value: string | undefined])[]): string[] {
  return fields.flatMap(([field, value]) => (value === undefined ? [] : [`${field}: ${value}`]));
}

/** A cell of a table: its text, and the side that it keeps to. */
export interface Column {
  readonly title: string;
  readonly side: 'left' | 'right';
  /** Gives way where the table is too wide. */
  readonly shrinks?: true;
}

/** Narrower than this a column that gives way says nothing any more. */
const MIN_COLUMN = 12;

/** A table, a line each, with its titles; or, where `columns` are too few for one, a block of lines per row. */
export function table(heads: readonly Column[], texts: readonly (readonly string[])[], columns: number): string[] {
  const rows = texts.map(row => row.map(escaped));
  const widths = heads.map(({ title }, n) =>
    rows.reduce((width, row) => Math.max(width, widthOf(row[n] ?? '')), widthOf(title)),
  );
  const excess = widths.reduce((sum, width) => sum + width + 2, -2) - columns;
  const shrinking = heads.findIndex(({ shrinks }) => shrinks === true);
  if (excess > 0) {
    const room = (widths[shrinking] ?? 0) - excess;
    if (room < MIN_COLUMN) return blocks(heads, rows, columns);
    widths[shrinking] = room;
  }
  return [heads.map(({ title }) => title), ...rows].map(row => {
    const cells = heads.map(({ side }, n) => padded(fit(row[n] ?? '', widths[n] ?? 0), widths[n] ?? 0, side));
    return cells.join('  ').trimEnd();
  });
}

function blocks(heads: readonly Column[], rows: readonly (readonly string[])[], columns: number): string[] {
  const label = Math.max(...heads.map(({ title }) => title.length)) + 2;
  return rows.flatMap((row, r) => {
    const lines = heads.map(({ title }, n) => padded(title, label) + fit(row[n] ?? '', columns - label));
    return r === 0 ? lines : ['', ...lines];
  });
}
