/** Proquints: 16 bits as five letters that can be said aloud (Daniel S. Wilkerson, arXiv:0901.4016). */

const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aiou';

/** `bytes` as proquints with dashes between them, as in `lusab-babad`. @param bytes an even number of them */
export function proquints(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 2 }, (_, n) => proquint(view.getUint16(2 * n))).join('-');
}

/** From the highest bits down: a consonant for four of them, a vowel for two, and so on. */
function proquint(bits: number): string {
  const consonant = (shift: number): string => CONSONANTS.charAt((bits >> shift) & 15);
  const vowel = (shift: number): string => VOWELS.charAt((bits >> shift) & 3);
  return consonant(12) + vowel(10) + consonant(6) + vowel(4) + consonant(0);
}
