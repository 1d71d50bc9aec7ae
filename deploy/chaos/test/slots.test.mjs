import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Slots, judgeSlots, transactionsOf } from '../slots.mjs';

const tx = (name) => `0x${name.repeat(64 / name.length)}`;
const [A, B, C, X] = ['a', 'b', 'c', 'f'].map(tx);
const prepared = (slot, hash) => ({ event: 'attempt_prepared', attempt_prepared: { ...(slot && { slot: String(slot) }), tx: hash } });
const ended = (slot, hash, outcome = 'SLOT_OUTCOME_SUCCESS') => ({ event: 'slot_final', slot_final: { ...(slot && { slot: String(slot) }), tx: hash, outcome } });
const opened = (account) => ({ event: 'lane_opened', lane_opened: { lane: `eip155:31337:${account}`, number: 1 } });
const read = (...events) => {
  const slots = new Slots();
  slots.visit({ family: 'lanes', partition: 0, events: [opened('0xAb'), ...events] });
  slots.visit({ family: 'jobs', partition: 0, events: [prepared(9, X)] });
  return slots;
};
const fold = (...events) => read(...events).lanes.get('0xab');
const whole = fold(prepared(0, A), prepared(1, B), prepared(1, C), ended(0, A), ended(1, C));
const mined = [{ nonce: 1, tx: C }, { nonce: 0, tx: A }];
const judge = (slots, chain) => judgeSlots(slots, { mined, pooled: [], ...chain });

test('nonces that are all taken by transactions of the journal, each ended by its own, have no hole', () => {
  const { figures, failures } = judge(whole);
  assert.deepEqual(failures, []);
  assert.deepEqual(figures, { nonces: 2, holes: 0, stuck: 0, foreign: 0, unfinished: 0 });
});

test('lanes are told apart by their partition, and events are counted over all of them', () => {
  const slots = read(prepared(0, A), ended(0, A));
  slots.visit({ family: 'lanes', partition: 1, events: [opened('0xcd'), prepared(0, B)] });
  assert.deepEqual([...slots.lanes.keys()], ['0xab', '0xcd']);
  assert.equal(judgeSlots(slots.lanes.get('0xab'), { mined: [{ nonce: 0, tx: A }], pooled: [] }).figures.holes, 0);
  assert.equal(judgeSlots(slots.lanes.get('0xcd'), { mined: [], pooled: [] }).figures.holes, 1);
  assert.deepEqual(slots.events, { lane_opened: 2, attempt_prepared: 2, slot_final: 1 });
});

test('a nonce that was signed for and is not mined is a hole, whether it lies between others or above them', () => {
  const above = judge(fold(prepared(0, A), prepared(1, B), ended(0, A)), { mined: [{ nonce: 0, tx: A }] });
  assert.deepEqual([above.figures.nonces, above.figures.holes], [2, 1]);
  assert.match(above.failures[0], /nonce 1 is a hole: 1 transaction\(s\) were signed/);
  const between = judge(fold(prepared(0, A), prepared(2, C), ended(0, A)), { mined: [{ nonce: 0, tx: A }], pooled: [{ nonce: 2, tx: C }] });
  assert.deepEqual([between.figures.holes, between.figures.stuck], [2, 1]);
  assert.ok(between.failures.some((text) => text.includes('stuck in the pool')));
});

test('a mined transaction that was never prepared, or for another nonce, is foreign', () => {
  const strange = judge(fold(prepared(0, A), prepared(1, B), ended(0, A), ended(1, X, 'SLOT_OUTCOME_FOREIGN')), { mined: [{ nonce: 0, tx: A }, { nonce: 1, tx: X }] });
  assert.deepEqual([strange.figures.foreign, strange.figures.unfinished], [1, 1]);
  assert.match(strange.failures.join('\n'), /never prepared[\s\S]*the foreign/);
  assert.equal(judge(fold(prepared(0, A), prepared(0, C), ended(0, A), ended(1, C))).figures.foreign, 1);
});

test('a slot that the journal does not end, or ends with another transaction than was mined, is unfinished', () => {
  assert.equal(judge(fold(prepared(0, A), prepared(1, C), ended(0, A))).figures.unfinished, 1);
  assert.equal(judge(fold(prepared(0, A), prepared(1, B), prepared(1, C), ended(0, A), ended(1, B))).figures.unfinished, 1);
});

test('two mined transactions of one nonce are told of', () => {
  assert.match(judge(whole, { mined: [...mined, { nonce: 1, tx: B }] }).failures.join('\n'), /3 mined transactions have 2 nonces/);
});

test("a key's transactions are read from every block and from both parts of the pool, others' are not", async () => {
  const of = (from, nonce, hash) => ({ from, nonce: `0x${nonce.toString(16)}`, hash });
  const blocks = { '0x1': [of('0xAb', 0, A), of('0xcd', 0, X)], '0x2': [], '0x3': [of('0xab', 1, B)] };
  const answers = {
    eth_blockNumber: () => '0x3', eth_getBlockByNumber: ([number]) => ({ transactions: blocks[number] }),
    txpool_content: () => ({ pending: { '0xAB': { 2: of('0xab', 2, C) } }, queued: { '0xcd': { 9: of('0xcd', 9, X) } } }),
  };
  const { mined: found, pooled } = await transactionsOf('0xab', async (method, params) => answers[method](params));
  assert.deepEqual(found, [{ nonce: 1, tx: B }, { nonce: 0, tx: A }]);
  assert.deepEqual(pooled, [{ nonce: 2, tx: C }]);
});
