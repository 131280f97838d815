/** `shoal-relay init`: writes a configuration, and makes the data folder with the relay's key. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { brokenError, parseConfig, type Problem, type TomlValue } from '../../src/config.ts';
import { changeConfigFile, readConfigFile } from '../../src/config-file.ts';
import { withKey } from '../../src/config-edit.ts';
import { ShoalError } from '../../src/errors.ts';
import { showName } from '../../src/files/names.ts';
import { isHost, isMultiaddr } from '../../src/format/hint.ts';
import { quoted } from '../../src/format/quoted.ts';
import { readRelayConfig, relayTemplate } from '../config.ts';
import type { Context } from '../context.ts';
import { dataFolderOf, makeRelayFolder } from '../folder.ts';

export interface InitFlags {
  readonly name?: string;
  readonly contact?: string;
  /** The host or IP address under which the public reaches it. */
  readonly public?: string;
  readonly disk?: string;
  readonly data?: string;
  readonly force?: true;
}

/** A key that is asked for, where it is not given. */
interface Question {
  readonly flag: 'name' | 'contact' | 'public' | 'disk';
  readonly text: string;
  readonly set: (text: string, answer: string) => string | Problem;
}

const QUESTIONS: readonly Question[] = [
  {
    flag: 'name',
    text: 'What is the relay called? [a shoal relay] ',
    set: (text, answer) => setKey(text, 'relay.name', answer),
  },
  {
    flag: 'contact',
    text: 'Where can you be reached: an e-mail address or a URL? [nowhere] ',
    set: (text, answer) => setKey(text, 'relay.contact', answer),
  },
  {
    flag: 'public',
    text: 'Under which host name or IP address is it reached from outside? [found out as it runs] ',
    set: (text, answer) => {
      const addresses = announced(answer);
      if (addresses !== undefined) return setKey(text, 'network.announce', addresses);
      return { line: 1, column: 1, key: '', what: `${quoted(answer)} is neither a host name nor an IP address` };
    },
  },
  {
    flag: 'disk',
    text: 'How much may it store? [100 GB] ',
    set: (text, answer) => setKey(text, 'limits.stored_bytes', answer),
  },
];

/** @throws ShoalError `exists` where there is a configuration, unless `force`; `usage`; `home`; `denied`, `disk-full`, `io` */
export async function init(context: Context, flags: InitFlags): Promise<void> {
  const { place, output } = context;
  const exists = (): ShoalError =>
    new ShoalError(
      'exists',
      `cannot make the configuration file "${showName(place.configPath)}": it exists already; edit it, or replace it with --force`,
    );
  const force = flags.force === true;
  if (!force && (await readConfigFile(place.configPath)) !== undefined) throw exists();
  const text = await configured(context, flags);
  const reading = readRelayConfig(text);
  if (reading.problems !== undefined) throw wrong(reading.problems);
  const data = dataFolderOf(reading.value, place);
  await makeRelayFolder(data, randomBytes);
  await changeConfigFile(place.configPath, before => {
    if (before !== undefined && !force) throw exists();
    return text;
  });
  if (output.isJson) output.json({ config: place.configPath, data });
  else output.results([`configuration: ${place.configPath}`, `data: ${data}`]);
}

/** The text of the configuration, by flags, and by answers where somebody can give them. */
async function configured({ typed, output, signal, cwd }: Context, flags: InitFlags): Promise<string> {
  let text = relayTemplate();
  // It is typed as a path from here, and the configuration is elsewhere.
  if (flags.data !== undefined) text = taken(setKey(text, 'relay.data', resolve(cwd, flags.data)));
  const open = QUESTIONS.filter(({ flag }) => flags[flag] === undefined);
  for (const { flag, set } of QUESTIONS) {
    const given = flags[flag];
    if (given !== undefined) text = taken(set(text, given));
  }
  if (typed === undefined || output.isJson) return text;
  const lines = createInterface({ input: typed.from, output: typed.shown });
  const answers = lines[Symbol.asyncIterator]();
  try {
    for (const { text: question, set } of open) {
      for (let isSet = false; !isSet;) {
        lines.setPrompt(question);
        lines.prompt();
        const answer = (await answerOf(answers, signal)).trim();
        const next = answer === '' ? text : set(text, answer);
        isSet = typeof next === 'string';
        if (typeof next === 'string') text = next;
        else output.say(next.what);
      }
    }
  } finally {
    lines.close();
  }
  return text;
}

/** @throws ShoalError `interrupted` where nothing more is typed; the signal's reason */
async function answerOf(answers: AsyncIterator<string>, signal: AbortSignal): Promise<string> {
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const answer = await Promise.race([answers.next(), stopped]);
  if (answer.done !== true) return answer.value;
  throw new ShoalError('interrupted', 'stopped: the questions were not answered; nothing was written');
}

/** `text` with a key set, or what is wrong with the value. */
function setKey(text: string, key: string, value: TomlValue): string | Problem {
  const program = parseConfig(text);
  if ('what' in program) return program;
  const changed = withKey(text, program, key.split('.'), value);
  return readRelayConfig(changed).problems?.[0] ?? changed;
}

function taken(changed: string | Problem): string {
  if (typeof changed === 'string') return changed;
  throw new ShoalError(
    'usage',
    `cannot make a configuration: ${changed.key === '' ? '' : `${changed.key}: `}${changed.what}`,
  );
}

function wrong(problems: readonly Problem[]): ShoalError {
  return brokenError('cannot make a configuration:', problems, 'change the options');
}

/** The multiaddrs of the ports that a relay listens on by default; undefined where it is no host. */
function announced(host: string): string[] | undefined {
  const kind = /^[0-9.]+$/.test(host) ? 'ip4' : host.includes(':') ? 'ip6' : 'dns';
  if (kind === 'ip6' ? !isMultiaddr(`/ip6/${host}`) : !isHost(host.toLowerCase())) return undefined;
  const ports = kind === 'ip6' ? ['tcp/4001'] : ['tcp/4001', 'tcp/4002/ws'];
  return ports.map(port => `/${kind}/${host}/${port}`);
}
