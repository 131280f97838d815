// Starts a program in this process, or, where this Node is too old, with the one that the package carries in a checkout.
// What is here must run on Node 18.

const NEEDED = [22, 13];
const [major, minor] = process.versions.node.split('.').map(Number);

/**
 * @param name of the program
 * @param url of the file that calls this
 * @param load imports the program
 */
export async function launch(name, url, load) {
  // Who kills the process that runs this one with a Node that is new enough means this one too.
  if (process.env.SHOAL_FOLLOWS_PARENT !== undefined) {
    delete process.env.SHOAL_FOLLOWS_PARENT;
    process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel?.unref();
  }
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) {
    const { main } = await load();
    await main();
    return;
  }
  const node = await carriedNode();
  if (node === undefined) {
    console.error(`${name}: this is Node.js ${process.versions.node}, and ${NEEDED.join('.')} or newer is needed`);
    process.exitCode = 1;
    return;
  }
  await runWith(node, name, url);
}

async function carriedNode() {
  const { existsSync } = await import('node:fs');
  const { createRequire } = await import('node:module');
  const { dirname, join } = await import('node:path');
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    const path = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Becomes the other process as far as that is possible: same streams, signals handed on, same end. */
async function runWith(node, name, url) {
  const { spawn } = await import('node:child_process');
  const { fileURLToPath } = await import('node:url');
  const child = spawn(node, [fileURLToPath(url), ...process.argv.slice(2)], {
    // The fourth stream ends with this process, in whatever way that does.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, SHOAL_FOLLOWS_PARENT: '1' },
  });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const handOn = signal => child.kill(signal);
  for (const signal of signals) process.on(signal, handOn);
  child.on('error', error => {
    console.error(`${name}: cannot run ${node}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    for (const one of signals) process.off(one, handOn);
    if (signal === null) process.exitCode = code;
    else process.kill(process.pid, signal);
  });
}
