// The development node on its own: what a bad client can't do to it, and what it forgets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { WebSocket } from '@polkadot/x-ws';

import { rpc } from '../clock.mjs';
import { devnet, withoutSpec } from './support/nodes.mjs';

const skip = withoutSpec();
const TIMESTAMP_NOW = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb';
const GENESIS = '0x4b5f95eefedf0d0fb514339edc24d2d411310520f687b4146145bcedb99885b9';
let net;
let socket;
const waiting = [];

/** Sends one text and resolves with the parsed reply; replies come in order. */
const exchange = (text) => new Promise((resolve) => { waiting.push(resolve); socket.send(text); });
const call = async (method, params = []) => exchange(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
const ok = async (method, params) => {
  const { result, error } = await call(method, params);
  assert.equal(error, undefined, `${method}: ${error?.message}`);
  return result;
};

before(async () => {
  if (skip) return;
  net = await devnet();
  net.sh('up');
  socket = new WebSocket(net.acurast);
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
  socket.onmessage = ({ data }) => waiting.shift()?.(JSON.parse(data));
});
after(() => { socket?.close(); net?.stop(); });

test('it is the chain that mainnet is: the genesis hash is the same', { skip }, async () => {
  assert.equal(await ok('chain_getBlockHash', [0]), GENESIS);
});

test('a bad request is answered with an error, and the node goes on', { skip }, async () => {
  const bad = [
    ['state_getStorage', []], ['state_getStorage', ['0xzz']], ['state_getStorage', [7]], ['state_getStorage', ['0x', '0x12']],
    ['state_queryStorageAt', ['0x00']], ['state_queryStorageAt', [[1]]], ['state_getKeysPaged', ['0x']], ['state_getKeysPaged', ['0x', 'many']],
    ['state_call', []], ['state_call', ['No_such_function', '0x']], ['state_call', ['Core_initialize_block', '0x00']], ['state_getReadProof', ['0x']],
    ['chain_getHeader', [`0x${'00'.repeat(32)}`]], ['chain_getBlockHash', ['latest']], ['chain_getBlockHash', [{}]], ['author_submitExtrinsic', ['0x00']],
    ['author_submitExtrinsic', []], ['dev_newBlock', [{ count: 0 }]], ['dev_newBlock', [{ count: 1e9 }]], ['dev_newBlock', [{ transactions: 'all' }]],
    ['dev_newBlock', [{ transactions: [null] }]], ['dev_setStorage', [[['0x00']]]], ['dev_setStorage', [[1]]], ['dev_setStorage', []], ['dev_setHead', [1e6]],
    ['dev_setHead', ['0x00']], ['dev_timeTravel', ['tomorrow']], ['dev_timeTravel', [0]], ['no_such_method', []],
  ];
  for (const [method, params] of bad) {
    const { error } = await call(method, params);
    assert.ok(error?.message, `${method} ${JSON.stringify(params)}`);
  }
  assert.equal((await exchange('{')).error.code, -32700);
  assert.equal((await exchange('7')).error.code, -32600);
  assert.equal((await exchange('[{"id":1},{"id":2,"method":"system_chain"}]'))[1].result, 'acurast-devnode');
  assert.equal((await call('chain_getBlockHash', [999_999])).result, null);
  assert.ok(await ok('system_health'));
});

test('a transaction that the runtime refuses is left out, and the block is mined without it', { skip }, async () => {
  const hash = await ok('dev_newBlock', [{ transactions: ['0x00', '0xffff'] }]);
  const { block } = await ok('chain_getBlock', [hash]);
  assert.equal(block.extrinsics.length, 2, 'the two inherents');
});

test('the clock jumps forward, never back, and a rewound head is mined upon', { skip }, async () => {
  const now = async () => Number(Buffer.from((await ok('state_getStorage', [TIMESTAMP_NOW])).slice(2), 'hex').readBigUInt64LE());
  const before_ = await now();
  await ok('dev_timeTravel', [before_ + 600_000]);
  const first = await ok('dev_newBlock');
  assert.equal(await now(), before_ + 606_000);
  const { number, parentHash } = await ok('chain_getHeader');
  assert.equal(await ok('dev_setHead', [-1]), parentHash);
  const second = await ok('dev_newBlock');
  assert.notEqual(second, first);
  assert.equal((await ok('chain_getHeader')).number, number);
  assert.equal(await ok('dev_setHead', [first]), first);
  assert.equal(await ok('chain_getBlockHash', [Number(number)]), first, 'the fork is the chain again');
});

test('storage set on the head keeps its hash and is what the next block builds on', { skip }, async () => {
  const head = await ok('chain_getBlockHash');
  assert.equal(await ok('dev_setStorage', [[['0xfeed', '0x01']]]), head);
  const next = await ok('dev_newBlock');
  assert.equal(await ok('state_getStorage', ['0xfeed', next]), '0x01');
  await ok('dev_setStorage', [[['0xfeed', null]]]);
  assert.equal(await ok('state_getStorage', ['0xfeed']), null);
});

test('states older than 512 blocks are pruned with a clear error; headers, bodies and genesis stay', { skip }, async () => {
  const old = await ok('chain_getBlockHash', [1]);
  await ok('dev_newBlock', [{ count: 520 }]);
  assert.match((await call('state_getStorage', [TIMESTAMP_NOW, old])).error.message, /state pruned/);
  assert.match((await call('dev_setHead', [1])).error.message, /state pruned/);
  assert.equal((await ok('chain_getHeader', [old])).number, '0x1');
  assert.equal((await ok('chain_getBlock', [old])).block.extrinsics.length, 2);
  assert.equal(await ok('state_getStorage', [TIMESTAMP_NOW, GENESIS]), null);
  const head = Number((await ok('chain_getHeader')).number);
  assert.ok(await ok('state_getStorage', [TIMESTAMP_NOW, await ok('chain_getBlockHash', [head - 500])]));
});

test('finality lags as configured, and the EVM node starts at the time of the Acurast chain', { skip }, async () => {
  const head = Number((await ok('chain_getHeader')).number);
  const final = Number((await ok('chain_getHeader', [await ok('chain_getFinalizedHead')])).number);
  assert.equal(head - final, 1);
  const { timestamp } = await rpc(net.anvil, 'eth_getBlockByNumber', ['0x0', false]);
  const first = Buffer.from((await ok('state_getStorage', [TIMESTAMP_NOW, await ok('chain_getBlockHash', [head - 400])])).slice(2), 'hex').readBigUInt64LE();
  assert.ok(BigInt(timestamp) <= first / 1000n);
});

test('each node is started, seen and stopped alone, and a port in use is not taken for ours', { skip }, async () => {
  net.sh('down', 'anvil');
  assert.throws(() => net.sh('status'), (error) => error.status === 1 && /anvil not running/.test(error.stdout) && /acurast running/.test(error.stdout));
  await assert.rejects(rpc(net.anvil, 'eth_chainId'));
  net.sh('up', 'anvil');
  assert.equal(await rpc(net.anvil, 'eth_chainId'), '0x7a69');
  const other = await devnet();
  try {
    const env = { ...other.env, ANVIL_PORT: net.env.ANVIL_PORT };
    assert.throws(() => execFileSync(new URL('../devnet.sh', import.meta.url).pathname, ['up', 'anvil'], { env, encoding: 'utf8', stdio: 'pipe' }),
      (error) => /something else answers/.test(error.stderr));
  } finally {
    other.stop();
  }
});
