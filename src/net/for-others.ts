/** What a node does for others, where it is told to; only then its parts are loaded. */
import type { AutoNATComponents } from '@libp2p/autonat';
import type { Clock, Log } from '../ports.ts';
import type { Admission } from '../protocol/admission.ts';
import type { Hop, HopOptions } from './hop.ts';

export interface ForOthers {
  /** Who may have how much of it; asked for each connection from outside, too. */
  readonly admission: Admission;
  /** Whether others are reached through this node (circuit relay v2). */
  readonly circuit: boolean;
  /** Whether this node tells others, by dialling them, how they can be reached (AutoNAT). */
  readonly autonat: boolean;
}

interface Options {
  readonly forOthers?: ForOthers;
  readonly clock: Clock;
  readonly log: Log;
}

/** The services of libp2p that are for others. */
export async function servicesForOthers({ forOthers, clock }: Options): Promise<{ autonat?: Service }> {
  if (forOthers?.autonat !== true) return {};
  const [{ autoNAT }, { dialingBack }] = await Promise.all([import('@libp2p/autonat'), import('./dial-backs.ts')]);
  const autonat: Service = components => {
    const connectionManager = dialingBack(components.connectionManager, clock);
    // libp2p's components are a proxy, which can not be copied.
    const get = (target: AutoNATComponents, name: keyof AutoNATComponents): unknown =>
      name === 'connectionManager' ? connectionManager : target[name];
    return autoNAT()(new Proxy(components, { get }));
  };
  return { autonat };
}

type Service = (components: AutoNATComponents) => unknown;

/** The hop side of circuits, which answers from now on; nothing where others are not reached through this node. */
export async function hopFor(
  { forOthers, clock, log }: Options,
  of: Omit<HopOptions, 'admission' | 'clock' | 'log'>,
): Promise<Hop | undefined> {
  if (forOthers?.circuit !== true) return undefined;
  const { Hop } = await import('./hop.ts');
  const hop = new Hop({ ...of, clock, log, admission: forOthers.admission });
  await hop.start();
  return hop;
}
