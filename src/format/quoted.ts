/** Text from elsewhere, as it may stand in a message, on a terminal or in a log. All of the project escapes by `escaped`. */

const MAX_QUOTED_CHARS = 80;

/**
 * What a terminal could act on, and what does not show and so could make two texts look alike: controls, line separators,
 * lone surrogates, characters that turn the direction of writing, zero widths, tags. A variation selector behind a
 * pictograph only picks its looks.
 */
const UNSEEN =
  /(?!(?<=\p{Extended_Pictographic})[\ufe0e\ufe0f])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;

/**
 * The emoji that take such characters to join others, as families, flags of regions and keycaps. Unicode lists all that are
 * in use: whatever else is joined so is escaped. To make this takes as long as printing the help does, and is seldom needed.
 */
let joinedOrUnseen: RegExp | undefined;
const JOINED = '(?<joined>[\\p{RGI_Emoji_ZWJ_Sequence}\\p{RGI_Emoji_Tag_Sequence}\\p{Emoji_Keycap_Sequence}])';
const JOINS = /[\u200d\u20e3\u{e007f}]/u;

/** What needs no look at each of its characters. */
const PLAIN = /^[ -~]*$/;

/** `text` with `\u{…}` in the place of each character that could act or does not show. To escape twice changes nothing. */
export function escaped(text: string): string {
  if (PLAIN.test(text)) return text;
  return replaceUnseen(text, character => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** `value` as JSON on one line, with `\uXXXX` in the place of each character that could act or does not show. */
export function escapedJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (PLAIN.test(json)) return json;
  return replaceUnseen(json, character =>
    Array.from(
      { length: character.length },
      (_, n) => `\\u${character.charCodeAt(n).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

function replaceUnseen(text: string, escape: (character: string) => string): string {
  if (!JOINS.test(text)) return text.replace(UNSEEN, escape);
  joinedOrUnseen ??= new RegExp(`${JOINED}|${UNSEEN.source}`, 'gv');
  return text.replace(joinedOrUnseen, (found, joined: string | undefined) => joined ?? escape(found));
}

/** `text` as a JSON string, and cut where it is long. */
export function quoted(text: string): string {
  return escapedJson(text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}…` : text);
}

/** How many of several names are named. */
const NAMES_SHOWN = 3;

/** The names of which one is meant, safe to show: `"a" or "b"`, and of many `"a", "b", "c" or one of 7 others`. */
export function oneOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).map(name => `"${escaped(name)}"`);
  const others = names.length - shown.length;
  const all = others === 0 ? shown : [...shown, others === 1 ? 'another one' : `one of ${others} others`];
  return all.length <= 1 ? all.join('') : `${all.slice(0, -1).join(', ')} or ${all.at(-1)}`;
}
