// Whether the nonces of a key are used up without a gap: what the journal says was signed for each of them, held against what was mined
// and what still waits in the node's pool. Pure, but for what its caller reads.
import { lanesOf } from '../demo/config.mjs';

/** The fold of `lanes` records: per lane, what was prepared for each slot, and how it ended. */
export class Slots {
  /** account of a lane's key, in lower case → its slots: `prepared`, hash of a transaction → slot; `ended`, slot → `{ tx, foreign }`. */
  lanes = new Map();
  events = {};
  #byPartition = new Map();

  /** Takes an accepted record as `readJournal` gives it. A partition is one lane's; its first event says whose. */
  visit({ family, partition, events }) {
    if (family !== 'lanes') return;
    for (const { event, [event]: of } of events) {
      this.events[event] = (this.events[event] ?? 0) + 1;
      if (event === 'lane_opened') this.#open(partition, of.lane);
      const lane = this.#byPartition.get(partition);
      if (event === 'attempt_prepared') lane.prepared.set(of.tx, Number(of.slot ?? 0));
      if (event === 'slot_final') lane.ended.set(Number(of.slot ?? 0), { tx: of.tx, foreign: of.outcome === 'SLOT_OUTCOME_FOREIGN' });
    }
  }

  #open(partition, name) {
    const lane = { prepared: new Map(), ended: new Map() };
    this.#byPartition.set(partition, lane);
    this.lanes.set(name.split(':').at(-1).toLowerCase(), lane);
  }
}

/**
 * Holds a lane's slots against the chain. `mined`: `{ nonce, tx }` of every transaction of the key in a block, in any order; `pooled`: those
 * that wait in the pool. A hole is a nonce that was signed for, or waits, or lies below one that does, and has no mined transaction; a
 * foreign transaction was mined and is in no journal; a slot is unfinished when the journal doesn't say which mined transaction ended it.
 */
export function judgeSlots({ prepared, ended }, { mined, pooled }) {
  const failures = [];
  const byNonce = new Map(mined.map(({ nonce, tx }) => [nonce, tx]));
  const known = [...byNonce.keys(), ...prepared.values(), ...pooled.map(({ nonce }) => nonce)];
  const nonces = known.reduce((top, nonce) => Math.max(top, nonce + 1), 0);
  const figures = { nonces, holes: 0, stuck: pooled.length, foreign: 0, unfinished: 0 };
  for (let nonce = 0; nonce < nonces; nonce++) {
    const tx = byNonce.get(nonce);
    if (tx === undefined) {
      figures.holes += 1;
      const signed = [...prepared.values()].filter((slot) => slot === nonce).length;
      failures.push(`nonce ${nonce} is a hole: ${signed} transaction(s) were signed for it and none is mined`);
      continue;
    }
    const end = ended.get(nonce);
    if (prepared.get(tx) !== nonce) {
      figures.foreign += 1;
      failures.push(`nonce ${nonce} is taken by ${tx}, which the journal ${prepared.has(tx) ? `prepared for nonce ${prepared.get(tx)}` : 'never prepared'}`);
    }
    if (end?.tx !== tx || end.foreign) {
      figures.unfinished += 1;
      failures.push(`nonce ${nonce} is taken by ${tx}; the journal ends it ${end ? `with ${end.foreign ? 'the foreign ' : ''}${end.tx}` : 'not at all'}`);
    }
  }
  if (mined.length !== byNonce.size) failures.push(`${mined.length} mined transactions have ${byNonce.size} nonces`);
  for (const { nonce, tx } of pooled) failures.push(`${tx} of nonce ${nonce} is stuck in the pool`);
  return { figures, failures };
}

/** Reads what `judgeSlots` needs of a chain: every transaction of `account` in a block or in the pool. `rpc(method, params)` asks the node. */
export async function transactionsOf(account, rpc) {
  const own = (address) => address.toLowerCase() === account.toLowerCase();
  const mined = [];
  for (let number = Number(await rpc('eth_blockNumber', [])); number > 0; number--) {
    const { transactions } = await rpc('eth_getBlockByNumber', [`0x${number.toString(16)}`, true]);
    for (const { from, nonce, hash } of transactions) if (own(from)) mined.push({ nonce: Number(nonce), tx: hash });
  }
  const pool = await rpc('txpool_content', []);
  const waiting = Object.values(pool).flatMap((part) => Object.entries(part)).filter(([address]) => own(address));
  return { mined, pooled: waiting.flatMap(([, byNonce]) => Object.values(byNonce).map(({ nonce, hash }) => ({ nonce: Number(nonce), tx: hash }))) };
}

/** Adds up what is wrong with the nonces of every lane that the world has, and the journal knows: `{ figures, failures }`. */
export async function judgeLanes({ lanes }, world, rpc) {
  const accounts = new Set([...lanesOf(world).map(({ relayer }) => relayer.toLowerCase()), ...lanes.keys()]);
  const [figures, failures] = [{ lanes: accounts.size }, []];
  for (const account of accounts) {
    const judged = judgeSlots(lanes.get(account) ?? { prepared: new Map(), ended: new Map() }, await transactionsOf(account, rpc));
    failures.push(...judged.failures.map((text) => `lane of ${account}: ${text}`));
    for (const [name, value] of Object.entries(judged.figures)) figures[name] = (figures[name] ?? 0) + value;
  }
  return { figures, failures };
}
