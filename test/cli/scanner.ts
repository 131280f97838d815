/** A camera in front of a terminal: reads the QR code among what was printed, as the colours there make it. */
import jsQR from 'jsqr';

/** Points of the picture per module, each way. */
const SCALE = 3;
const ESC = '\u001b';
const BLACK_ON_WHITE = `${ESC}[30;107m`;

/**
 * What the QR code says, on a terminal whose text is light on a dark background, or the reverse; undefined where none is found.
 * @param inverted whether one that is light on dark is found too
 */
export function decoded(printed: string, background: 'dark' | 'light', inverted = false): string | undefined {
  const lines = printed.split('\n').filter(line => /[▀▄█]/.test(line) && !/[a-z]{3}/.test(line));
  const modules = lines.flatMap(line => rowsOf(line, background));
  const [width, height] = [(modules[0]?.length ?? 0) * SCALE, modules.length * SCALE];
  const picture = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const shade = modules[Math.floor(y / SCALE)]?.[Math.floor(x / SCALE)] === true ? 0 : 255;
      picture.set([shade, shade, shade, 255], (y * width + x) * 4);
    }
  }
  // The package says it is CommonJS, of which Node gives the whole.
  return jsQR.default(picture, width, height, { inversionAttempts: inverted ? 'attemptBoth' : 'dontInvert' })?.data;
}

/** The two rows of a line: which points are dark. */
function rowsOf(line: string, background: 'dark' | 'light'): boolean[][] {
  const isColoured = line.includes(BLACK_ON_WHITE);
  const characters = Array.from(
    line.slice(line.lastIndexOf(BLACK_ON_WHITE) + 1).replaceAll(/^\[30;107m|\u001b\[0m/g, ''),
  );
  const isDrawnDark = isColoured || background === 'light';
  const row = (drawn: string): boolean[] => characters.map(character => drawn.includes(character) === isDrawnDark);
  return [row('▀█'), row('▄█')];
}
