/** Hints as somebody types them. */
import { ShoalError } from './errors.ts';
import { parseHint, type Hint } from './format/hint.ts';

/** The hint that a text is, the `n`th of them. What is no hint is not shown: it could be a link. @throws ShoalError `usage` */
export function givenHint(text: string, n: number): Hint {
  const hint = readHint(text);
  // A single word is rather a mistyped "self" than a host that others know.
  if (hint?.kind === 'multiaddr' || hint?.host.includes('.') === true) return hint;
  const form = '/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…';
  throw new ShoalError(
    'usage',
    `cannot put hint ${n + 1} into the link: it is neither "self", a multiaddr like ${form}, nor the host of a relay`,
  );
}

function readHint(text: string): Hint | undefined {
  try {
    return parseHint(text);
  } catch (error) {
    if (text.startsWith('/')) throw error;
    return undefined;
  }
}
