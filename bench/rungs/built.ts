/** The library as it is built, since that is what people run: `npm run build` comes first. */
export async function builtLibrary(): Promise<typeof import('../../src/index.ts')> {
  const built = new URL('../../dist/src/index.js', import.meta.url).href;
  return (await import(built)) as typeof import('../../src/index.ts');
}

/** A network of this machine only. */
export const LOOPBACK = {
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: [],
  mdns: false,
  dht: 'off',
  portMapping: false,
} as const;

export const NEVER = new AbortController().signal;

export const SHARE_OPTIONS = {
  exclude: [],
  spooled: false,
  skip: false,
  copy: false,
  pad: true,
  anew: true,
  serveAlways: false,
  hints: [],
};
