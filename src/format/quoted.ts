/** Text from elsewhere, as it may stand in a message. */

const MAX_QUOTED_CHARS = 80;

/**
 * `text` in double quotes, with everything escaped that a terminal could act on or that does not show (controls, directions,
 * lone surrogates), and cut where it is long.
 */
export function quoted(text: string): string {
  const cut = text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}…` : text;
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
