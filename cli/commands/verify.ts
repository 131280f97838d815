/** `shoal verify`: who has a share, how much of it, and whether that is true. */
import type { ActionEvent, Results } from '../../src/daemon/actions.ts';
import { ShoalError } from '../../src/errors.ts';
import { table, type Column } from '../columns.ts';
import type { Context } from '../context.ts';
import { copyLine } from '../copies.ts';
import { EventPrinter } from '../events.ts';
import { showLine } from '../progress.ts';
import { count } from '../units.ts';

type Holder = Results['verify']['holders'][number];

const HEADS: readonly Column[] = [
  { title: 'WHO', side: 'left', shrinks: true },
  { title: 'FOUND BY', side: 'left' },
  { title: 'CHUNKS', side: 'right' },
  { title: 'CHECKED', side: 'right' },
  { title: 'STATE', side: 'left' },
];

/** @throws ShoalError `unavailable` where nobody has it whole; `usage`, `bad-link`, `unknown-share`, `interrupted` */
export async function verify(context: Context, id: string, options: { readonly repair: boolean }): Promise<void> {
  const { terminal, performer, signal } = context;
  const printer = new EventPrinter(terminal);
  let asked = 0;
  const line = showLine(terminal, () => `looking for who has it: ${count(asked, 'answer')} so far`);
  const onEvent = (event: ActionEvent): void => {
    if (terminal.isJson) return printer.print(event);
    if (event.event === 'holder') asked++;
    const said = event.event === 'copy' ? copyLine(event) : undefined;
    if (said !== undefined) terminal.say(said);
  };
  let result: Results['verify'];
  try {
    result = await performer.run('verify', { id, repair: options.repair }, onEvent, signal);
  } finally {
    line.stop();
    printer.close();
  }
  const { holders, copies, repaired } = result;
  if (terminal.isJson) terminal.json({ event: 'done', ...result });
  else {
    if (holders.length > 0) terminal.results(table(HEADS, holders.map(rowOf), terminal.columns));
    for (const { peer, name, problem } of holders)
      if (problem !== undefined) terminal.say(`${name ?? `…${peer.slice(-8)}`}: ${problem}`);
    terminal.say(
      `${copies === 1 ? '1 complete copy' : `${copies} complete copies`}${repaired === 0 ? '' : `, and ${count(repaired, 'relay')} got it again`}`,
    );
  }
  if (copies + repaired > 0) return;
  const next = options.repair
    ? 'share it again, or leave it at another relay'
    : 'the home that shares it gives it to its relays again with "--repair"';
  throw new ShoalError('unavailable', `nobody else was found who has all of the share; ${next}`);
}

const VIA: Readonly<Record<Holder['via'], string>> = {
  local: 'this home',
  hint: 'the link',
  relay: 'relay',
  mdns: 'local network',
  dht: 'DHT',
};

function rowOf({ peer, name, via, chunks, has, sampled, problem }: Holder): string[] {
  const amount = chunks === undefined ? '' : `${has ?? 0} of ${chunks}`;
  const state = problem === undefined ? 'complete' : chunks === undefined ? 'no answer' : 'incomplete';
  return [name ?? `…${peer.slice(-8)}`, VIA[via], amount, sampled === undefined ? '' : String(sampled), state];
}
