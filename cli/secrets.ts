/**
 * Secrets that were typed or given by the environment. A link can stand in any wrong place, be altered on its way there, and be
 * quoted by a message.
 */

/** Variables that hold what no other program is to get. */
const SECRET_VARIABLES = ['SHOAL_LINK', 'SHOAL_PASSPHRASE'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** What is in the environment of this process, and takes the secrets out of it: what this process starts does not inherit them. */
export function takeSecrets(env: NodeJS.ProcessEnv): Environment {
  const taken = { ...env };
  for (const name of SECRET_VARIABLES) Reflect.deleteProperty(env, name);
  return taken;
}

/** As another program may have it. */
export function withoutSecrets(env: Environment): Environment {
  return { ...env, ...Object.fromEntries(SECRET_VARIABLES.map(name => [name, undefined])) };
}

/** As much of an id as tells links apart. */
const SHOWN_ID_CHARS = 8;
/** More than a word has, and fewer than the 59 of an id: the beginning may be lost in copying. */
const ID = '[a-z2-7]{32,}';
const REST = `[^\\s'"]`;
/** Whatever calls itself a link, however it goes on. A path that was resolved has one slash where an address has two. */
const NAMED = `(?:shoal:|https?:/+[^\\s'"#]*#)${REST}+`;
/** A key behind a dot, whatever the id in front of it has become: all of it, or as much as a message quotes of a long text. */
const KEY = '(?<=\\.)(?:[\\w-]{43}(?![\\w-])|[\\w-]{8,}…)';
/** An id and a key, also one that was cut. A file may well be named after the id of what is in it. */
const UNNAMED = `(?<![a-z2-7])${ID}\\.(?!car(?![\\w-]))[\\w-]${REST}*`;

const SECRET = new RegExp(`${NAMED}|${KEY}|${UNNAMED}`, 'gi');
const SHOWN = new RegExp(`${ID}(?=\\.)`, 'i');

/** `text` with nothing but the beginning of its id in the place of each link, and nothing in that of a key. */
export function withoutKeys(text: string): string {
  return text.replace(SECRET, secret => {
    const id = SHOWN.exec(secret)?.[0];
    return id === undefined ? 'LINK' : `${id.slice(0, SHOWN_ID_CHARS)}…`;
  });
}

export function holdsKey(text: string): boolean {
  return withoutKeys(text) !== text;
}
