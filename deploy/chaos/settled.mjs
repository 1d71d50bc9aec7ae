// How many executions the contract has settled so far, read from the chain while a run goes on. The final count is the observer's.
import { keccak } from '../devnet/protocol.mjs';

import { rpc } from '../devnet/clock.mjs';

const SETTLED = keccak('Settled(bytes32,bytes32,uint64,bool,bytes32)');

export class Settled {
  #next;
  count = 0;

  /** `evm`: the world's, whose contract is asked for at `anvil`. */
  constructor({ anvil, evm }) {
    Object.assign(this, { anvil, evm });
    this.#next = evm.deployed_at;
  }

  /** Reads on to the newest block; returns the count. */
  async look() {
    const head = Number(await rpc(this.anvil, 'eth_blockNumber'));
    if (head >= this.#next) {
      const range = { fromBlock: `0x${this.#next.toString(16)}`, toBlock: `0x${head.toString(16)}` };
      const logs = await rpc(this.anvil, 'eth_getLogs', [{ address: this.evm.settlement, topics: [SETTLED], ...range }]);
      this.count += logs.length;
      this.#next = head + 1;
    }
    return this.count;
  }
}
