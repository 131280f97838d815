/** Asking one peer and nobody else. */
import type { DownloadNetwork } from './download.ts';
import type { Candidate, Network } from './ports.ts';

/** A network in which nobody but one peer is found: for who wants to know what that one has, or takes only from it. */
export function onlyPeer(network: Network, candidate: Candidate): DownloadNetwork {
  return {
    self: network.self,
    status: () => network.status(),
    connect: (peer, protocol, signal) => network.connect(peer, protocol, signal),
    async *find() {
      yield await Promise.resolve(candidate);
    },
  };
}
