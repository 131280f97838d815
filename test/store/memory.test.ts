import { memoryStore } from '../../src/store/memory.ts';
import { chunkStoreContract } from '../contract/chunk-store.ts';

describe('a chunk store in memory', () => {
  chunkStoreContract(async () => memoryStore());
});
