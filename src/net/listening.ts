/** What became of listening, in words. */
import { ShoalError } from '../errors.ts';

/** libp2p says which addresses failed in lines of the message only. */
export function listenError(error: unknown): unknown {
  if ((error as Error).name !== 'UnsupportedListenAddressesError') return error;
  const failed = (error as Error).message.matchAll(/^ {2}(\/\S+): (.*)$/gm);
  const reasons = [...failed].map(([, address, reason = '']) => {
    if (reason.includes('EADDRINUSE')) return `${address} (another program uses the port)`;
    if (reason.includes('EADDRNOTAVAIL')) return `${address} (this machine has no such address)`;
    if (reason.includes('EACCES')) return `${address} (the port is for the administrator only)`;
    return `${address} (${reason === '' ? 'no transport for such an address' : reason})`;
  });
  const next = 'choose another address or port, by --listen, --port or in the configuration';
  return new ShoalError('io', `cannot listen on ${reasons.join(', ')}; ${next}`, { cause: error });
}
