/** QR codes in characters: each is one module wide and two high, as characters are. */
import { encode } from 'uqr';

/** Free modules around a code, without which it may not be found (ISO/IEC 18004). */
const QUIET_MODULES = 4;

/**
 * The lines of a QR code of `text`, with as little error correction as there is: what a screen shows has no stains.
 * @param drawn which modules are drawn; the others are blank
 */
export function qrLines(text: string, drawn: 'dark' | 'light'): string[] {
  const { data: modules } = encode(text, { ecc: 'L', border: QUIET_MODULES });
  const isDrawn = (row: number, column: number): boolean =>
    (modules[row]?.[column] === true ? 'dark' : 'light') === drawn;
  const columns = modules.map((_, column) => column);
  return columns
    .filter(row => row % 2 === 0)
    .map(row => columns.map(column => block(isDrawn(row, column), isDrawn(row + 1, column))).join(''));
}

function block(upper: boolean, lower: boolean): string {
  if (upper) return lower ? '█' : '▀';
  return lower ? '▄' : ' ';
}
