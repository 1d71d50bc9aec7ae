// Bad weather on the EVM chain, drawn from a seed: reorganizations of blocks that aren't final, jumps of the base fee, a pool that
// forgets everything, and blocks that don't come. It goes through the workload's clock, between two blocks, so that nothing but the
// weather differs from a calm run.
import { rpc } from '../clock.mjs';
import { random } from './plans.mjs';

const GWEI = 10 ** 9;
/** Calm between two disturbances, ms of real time. */
const CALM_MS = { least: 400, most: 2_200 };
/** What may come, and how often of all. */
const KINDS = [['reorg', 0.55], ['spike', 0.15], ['forget', 0.15], ['pause', 0.15]];
/**
 * What a reorganization does to the transactions of the blocks that it replaces. kept: each is in the new block of its height ·
 * moved: all are in the newest one · partly: the first half is kept, the rest is gone · returned: all are back in the pool, as
 * honest nodes do · gone: in no block and no pool.
 */
const FATES = ['kept', 'moved', 'partly', 'returned', 'gone'];
/** Times the usual base fee of a quiet chain; accounts of the workload pay up to 100 gwei. */
const SPIKE_GWEI = { least: 2, most: 40 };
const PAUSE_MS = { least: 400, most: 2_000 };
/** A reorganization waits so long for a newest block with a transaction in it: replacing empty blocks proves little. */
const AIM_MS = 1_500;
const LOOK_MS = 40;

const between = ({ least, most }, share) => least + share * (most - least);

/** Draws what comes next: `{ kind, calmMs, … }`. The same seed draws the same weather; `deepest` bounds the depth of a reorg. */
export class Weather {
  #draw;
  constructor(seed, { deepest }) {
    this.#draw = random(seed);
    this.deepest = deepest;
  }

  next() {
    const [calm, which, size, fate] = [this.#draw(), this.#draw(), this.#draw(), this.#draw()];
    let rest = which;
    const [kind] = KINDS.find(([, share]) => (rest -= share) < 0) ?? KINDS[0];
    return { kind, calmMs: Math.round(between(CALM_MS, calm)), ...this.#details(kind, size, fate) };
  }

  #details(kind, size, fate) {
    switch (kind) {
      case 'reorg': return { depth: 1 + Math.floor(size * this.deepest), fate: FATES[Math.floor(fate * FATES.length)] };
      case 'spike': return { baseFee: Math.round(between(SPIKE_GWEI, size) * GWEI) };
      case 'pause': return { ms: Math.round(between(PAUSE_MS, size)) };
      default: return {};
    }
  }
}

/**
 * Which transactions of replaced blocks stand in the new ones: pairs of transaction and index of its new block, in an order that
 * keeps each sender's. `blocks` are lists of transactions, the oldest block first.
 */
export function placed(blocks, fate) {
  const all = blocks.flatMap((transactions, at) => transactions.map((transaction) => [transaction, at]));
  switch (fate) {
    case 'kept': return all;
    case 'moved': return all.map(([transaction]) => [transaction, blocks.length - 1]);
    case 'partly': return all.slice(0, Math.ceil(all.length / 2));
    default: return [];
  }
}

/**
 * Replaces the newest `depth` blocks of an anvil, none up to `floor`. Returns `{ from, to, transactions, placed }`: hashes of the heads,
 * which are the same when there was nothing to replace, and counts.
 */
export async function reorganize(url, { depth: wanted, fate, floor = 0 }) {
  const head = await rpc(url, 'eth_getBlockByNumber', ['latest', false]);
  const depth = Math.min(wanted, Number(head.number) - floor);
  if (depth < 1) return { from: head.hash, to: head.hash, transactions: 0, placed: 0 };
  const blocks = [];
  for (let number = Number(head.number) - depth + 1; number <= Number(head.number); number++) {
    const { transactions } = await rpc(url, 'eth_getBlockByNumber', [`0x${number.toString(16)}`, false]);
    blocks.push(await Promise.all(transactions.map((hash) => rpc(url, 'eth_getRawTransactionByHash', [hash]))));
  }
  const stay = placed(blocks, fate);
  await rpc(url, 'anvil_reorg', [depth, stay]);
  if (fate === 'returned') for (const raw of blocks.flat()) await returned(url, raw);
  const { hash } = await rpc(url, 'eth_getBlockByNumber', ['latest', false]);
  return { from: head.hash, to: hash, transactions: blocks.flat().length, placed: stay.length };
}

/** A node offers its pool what it took out of blocks; what the pool refuses meanwhile (too cheap, say) is gone. */
async function returned(url, raw) {
  await rpc(url, 'eth_sendRawTransaction', [raw]).catch(() => {});
}

export class Storm {
  #stopped = false;
  #wake = () => {};
  #done = null;

  /** `clock` mines the chain at `url`, of which blocks up to `floor` stay; `say(step, details)` tells of each disturbance; `seed` and `deepest` are the weather's. */
  constructor({ clock, url, floor, seed, deepest, say }) {
    Object.assign(this, { clock, url, floor, say, weather: new Weather(seed, { deepest }) });
  }

  /** Begins; `onError` is called once when the chain can't be disturbed. */
  start(onError) {
    this.#done = this.#loop().catch((error) => { if (!this.#stopped) onError(error); });
  }

  async #loop() {
    while (!this.#stopped) {
      const { calmMs, ...next } = this.weather.next();
      await this.#pause(calmMs);
      if (next.kind === 'reorg') await this.#aim();
      if (this.#stopped) break;
      this.say('storm', { ...next, ...await this.clock.betweenBlocks(() => this.#disturb(next)) });
    }
  }

  async #disturb(next) {
    switch (next.kind) {
      case 'reorg': return reorganize(this.url, { ...next, floor: this.floor });
      case 'spike': await rpc(this.url, 'anvil_setNextBlockBaseFeePerGas', [`0x${next.baseFee.toString(16)}`]); return {};
      case 'forget': await rpc(this.url, 'anvil_dropAllTransactions'); return {};
      default: await this.#pause(next.ms); return {};
    }
  }

  async #aim() {
    const late = performance.now() + AIM_MS;
    while (!this.#stopped && performance.now() < late) {
      if (Number(await rpc(this.url, 'eth_getBlockTransactionCountByNumber', ['latest'])) > 0) return;
      await this.#pause(LOOK_MS);
    }
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  /** Ends it after the disturbance that goes on. */
  async stop() {
    this.#stopped = true;
    this.#wake();
    await this.#done;
  }
}
