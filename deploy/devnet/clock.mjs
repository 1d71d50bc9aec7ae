// One time for both chains: every Acurast block sets the time of the next EVM block and mines it.
//
// The EVM's time is the Acurast block's in whole seconds, and strictly increasing: where blocks of the EVM alone ran ahead, it
// goes on from there. So windows judged by Acurast's seals and expiries judged by EVM blocks tell the same story.

const LATEST = ['latest', false];

/** Calls an Ethereum node over HTTP; fails with its error message. */
export async function rpc(url, method, params = []) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

export class Clock {
  #evmSeconds;
  #queue = Promise.resolve();
  #running = null;
  #hold = () => false;
  /** Timestamp of the newest Acurast block mined by this clock, ms. */
  nowMs = 0;

  /** `chain` is an AcurastChain, `evmUrl` an anvil started with --no-mining. */
  constructor(chain, evmUrl) {
    this.chain = chain;
    this.evmUrl = evmUrl;
  }

  /** Mines one Acurast block of `calls`, then one EVM block of its time. Returns the Acurast block. */
  async mine(calls = []) {
    const block = await this.chain.mine(calls);
    this.nowMs = Math.max(this.nowMs, block.timestamp);
    await this.mineEvm(block.timestamp);
    return block;
  }

  /** As `AcurastChain.mineAll`, with an EVM block for each. */
  mineAll(calls) {
    return this.chain.mineAll(calls, (some) => this.mine(some));
  }

  /** Mines one EVM block at that time, or one second after its newest block when that is later. */
  mineEvm(timestampMs = 0) {
    const mined = this.#queue.then(async () => {
      this.#evmSeconds ??= Number((await rpc(this.evmUrl, 'eth_getBlockByNumber', LATEST)).timestamp);
      const next = Math.max(Math.floor(timestampMs / 1000), this.#evmSeconds + 1);
      await rpc(this.evmUrl, 'evm_setNextBlockTimestamp', [next]);
      await rpc(this.evmUrl, 'evm_mine');
      this.#evmSeconds = next;
    });
    this.#queue = mined.catch(() => { this.#evmSeconds = undefined; }); // ask again: the node may have been restarted
    return mined;
  }

  /** Runs `work` between two blocks of the EVM, none of which is mined meanwhile. It may change the newest ones. */
  betweenBlocks(work) {
    const result = this.#queue.then(work);
    this.#queue = result.then(() => {}, () => {}).then(() => { this.#evmSeconds = undefined; }); // the head's time may be another now
    return result;
  }

  /** Moves both chains to the time, which the next Acurast block then has. Does nothing when it is past. */
  async travelTo(timestampMs) {
    await this.chain.travelTo(timestampMs);
    return this.mine();
  }

  /**
   * Mines one block of each chain every `intervalMs` until stopped. While `hold(nowMs)` says so, Acurast's time stands still
   * and only the EVM goes on: what has to happen before a window closes is never lost to a slow machine.
   */
  start(intervalMs, onError) {
    let stopped = false;
    const loop = async () => {
      this.nowMs = Math.max(this.nowMs, await this.chain.now());
      while (!stopped) {
        const tick = new Promise((resolve) => { setTimeout(resolve, intervalMs); });
        if (this.#hold(this.nowMs)) await this.mineEvm();
        else await this.mine();
        await tick;
      }
    };
    const done = loop().catch((error) => { if (!stopped) onError(error); });
    this.#running = async () => { stopped = true; await done; };
  }

  /** From now on Acurast's time stands still while `hold(nowMs)` is true. */
  holdWhile(hold) { this.#hold = hold; }

  async stop() {
    await this.#running?.();
    this.#running = null;
  }
}
