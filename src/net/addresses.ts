/** Reading addresses that are given as text. */
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { ShoalError } from '../errors.ts';
import { quoted } from '../format/quoted.ts';
import { peerOf } from './gater.ts';

/** @throws ShoalError `usage` */
export function readMultiaddr(text: string): Multiaddr {
  try {
    return multiaddr(text);
  } catch (cause) {
    throw new ShoalError(
      'usage',
      `cannot use ${quoted(text)} as an address: it is not a multiaddr like /ip4/192.0.2.1/tcp/4001`,
      { cause },
    );
  }
}

/** An address of `peer` as it can be dialled; nothing when it is another's or can not be read. */
export function targetOf(text: string, peer: string): Multiaddr[] {
  try {
    const address = multiaddr(text);
    const target = peerOf(address) === undefined ? address.encapsulate(`/p2p/${peer}`) : address;
    return peerOf(target) === peer ? [target] : [];
  } catch {
    return [];
  }
}
