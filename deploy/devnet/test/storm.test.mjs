// The weather of lib/storm.mjs: what is drawn, and what a reorganization does to a real node.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Clock, rpc } from '../clock.mjs';
import { anvilAccount } from '../lib/evm.mjs';
import { deliveries } from '../lib/plans.mjs';
import { Storm, Weather, placed, reorganize } from '../lib/storm.mjs';
import { devnet } from './support/nodes.mjs';

const FATES = ['kept', 'moved', 'partly', 'returned', 'gone'];
const account = anvilAccount(1);
let net;
const ask = (method, params = []) => rpc(net.anvil, method, params);
const mine = () => ask('evm_mine');
const nonce = async () => Number(await ask('eth_getTransactionCount', [account.address, 'latest']));
const pooled = async () => Number((await ask('txpool_status')).pending);

async function send(at) {
  const transaction = { chainId: 31337, type: 'eip1559', nonce: at, to: anvilAccount(3).address, value: 1n, gas: 21_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n };
  return ask('eth_sendRawTransaction', [await account.signTransaction(transaction)]);
}

before(async () => {
  net = await devnet();
  net.sh('up', 'anvil');
});
after(() => net?.stop());

test('a seed draws the same weather again, of every kind, fate and depth, within its bounds', () => {
  const draw = (seed) => { const weather = new Weather(seed, { deepest: 6 }); return Array.from({ length: 500 }, () => weather.next()); };
  assert.deepEqual(draw(3), draw(3));
  assert.notDeepEqual(draw(3), draw(4));
  const kinds = new Set(draw(3).map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ['forget', 'pause', 'reorg', 'spike']);
  const reorgs = draw(3).filter(({ kind }) => kind === 'reorg');
  assert.ok(reorgs.length > 200, `${reorgs.length}`);
  assert.deepEqual([...new Set(reorgs.map(({ depth }) => depth))].sort(), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...new Set(reorgs.map(({ fate }) => fate))].sort(), [...FATES].sort());
});

test('transactions keep their order wherever a reorganization puts them', () => {
  const blocks = [['a', 'b'], [], ['c']];
  assert.deepEqual(FATES.map((fate) => placed(blocks, fate)), [
    [['a', 0], ['b', 0], ['c', 2]], [['a', 2], ['b', 2], ['c', 2]], [['a', 0], ['b', 0]], [], [],
  ]);
});

test('as many outputs as asked for are planned, all to be delivered', () => {
  for (const count of [1, 2, 44, 45, 46, 2_000]) {
    const plans = deliveries(count);
    assert.equal(plans.flatMap(({ slots }) => slots.flat()).length, count);
    assert.ok(plans.every(({ slots, executions }) => slots.length <= 3 && slots.every((actions) => actions.length === executions && actions.every((action) => action === 'output'))));
  }
});

test('a reorganization replaces the head; transactions stay, move, go back to the pool or are gone, as its fate says', async () => {
  await mine();
  for (const [fate, stays, waits] of [['kept', 2, 0], ['moved', 2, 0], ['partly', 1, 0], ['returned', 0, 2], ['gone', 0, 0]]) {
    const first = await nonce();
    const height = await ask('eth_blockNumber');
    for (const at of [first, first + 1]) { await send(at); await mine(); }
    const { from, to, transactions } = await reorganize(net.anvil, { depth: 2, fate });
    assert.notEqual(from, to);
    assert.equal(transactions, 2);
    assert.equal(Number(await ask('eth_blockNumber')), Number(height) + 2, fate);
    assert.deepEqual([await nonce() - first, await pooled()], [stays, waits], fate);
    await mine();
    assert.equal(await nonce() - first, stays + waits, fate);
  }
});

test('blocks up to the floor stay', async () => {
  const floor = Number(await ask('eth_blockNumber'));
  const { hash } = await ask('eth_getBlockByNumber', ['latest', false]);
  assert.deepEqual(await reorganize(net.anvil, { depth: 3, fate: 'gone', floor }), { from: hash, to: hash, transactions: 0, placed: 0 });
  await mine();
  await reorganize(net.anvil, { depth: 3, fate: 'gone', floor });
  assert.equal((await ask('eth_getBlockByNumber', [`0x${floor.toString(16)}`, false])).hash, hash);
});

test('a storm disturbs a chain that its clock goes on mining, and ends when it is told to', async () => {
  const clock = new Clock(null, net.anvil);
  const seen = [];
  const storm = new Storm({ clock, url: net.anvil, floor: 0, seed: 5, deepest: 4, say: (step, details) => seen.push({ step, ...details }) });
  let broken;
  storm.start((error) => { broken = error; });
  while (!broken && seen.filter(({ kind, from, to }) => kind === 'reorg' && from !== to).length < 2) await clock.mineEvm();
  await storm.stop();
  assert.equal(broken, undefined);
  const before = seen.length;
  await clock.mineEvm();
  assert.equal(seen.length, before);
  assert.ok(seen.every(({ step }) => step === 'storm'));
});
