/** What the doctor says of relays; test/e2e/doctor.test.ts has the rest. */
import { expect } from 'chai';
import { nodeChecks, type Check } from '../../src/daemon/doctor.ts';
import type { ShoalNode } from '../../src/node.ts';
import type { Network, Reservation } from '../../src/ports.ts';
import { simNetwork } from '../sim/network.ts';

const RELAY = '12D3KooWEk6UW6kS4Up4K1hr9SAgMv9NDj2BSc3dkRB1essCYP2y';
const reserved: Reservation = { peer: RELAY, state: 'reserved', until: 1_800_000_000 };
const failed: Reservation = { peer: RELAY, state: 'trying', why: 'the relay has no place left' };

describe('The doctor, of relays', () => {
  const checksOf = async (reservations: readonly Reservation[], addresses?: string[]): Promise<Check[]> => {
    const network: Network = simNetwork(1).node('home');
    const survey = await network.survey(new AbortController().signal);
    network.survey = () => Promise.resolve({ ...survey, reservations });
    if (addresses !== undefined) network.addresses = () => addresses;
    // Without a home, its checks look at nothing else of a node.
    return await nodeChecks({ network } as unknown as ShoalNode, new AbortController().signal);
  };
  const ofRelays = (checks: readonly Check[]): Check[] => checks.filter(({ name }) => name.startsWith('relay'));

  it('says nothing where none was asked for', async () => {
    expect(ofRelays(await checksOf([]))).to.deep.equal([]);
  });

  it('says that others reach the node through them', async () => {
    const message = 'others reach this node through 2 relays';
    expect(ofRelays(await checksOf([reserved, reserved]))).to.deep.equal([{ name: 'relays', state: 'ok', message }]);
  });

  it('names a problem with what to do where no relay has a place', async () => {
    const [check] = ofRelays(await checksOf([failed]));
    expect(check).to.deep.include({ name: 'relay …essCYP2y', state: 'problem' });
    expect(check?.message).to.equal('this node can not be reached through it: the relay has no place left');
    expect(check?.remedy).to.include('choose another');
    expect(ofRelays(await checksOf([failed, reserved])).map(({ state }) => state)).to.deep.equal(['ok', 'notice']);
  });

  it('does not take an address through a relay for one that is listened on', async () => {
    const through = `/ip4/192.0.2.8/tcp/1/p2p/${RELAY}/p2p-circuit/p2p/${RELAY}`;
    const [addresses] = await checksOf([reserved], [through]);
    expect(addresses).to.deep.include({ name: 'addresses', state: 'notice' });
    expect(addresses?.message).to.include('through a relay');
  });
});
