#!/usr/bin/env node
// Asks a node of the devnet who it is: prints `{ genesis, number, timestamp }` (ms for Acurast, s for an EVM node) on one line.
// Exits with 1 and says nothing while the node doesn't answer; that is how devnet.sh waits for it.
import { rpc } from './clock.mjs';

const TIMESTAMP_NOW = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb';
const ANSWER_MS = 5_000;

/** One JSON-RPC conversation over a WebSocket: `ask(method, params)` resolves with the result. */
async function substrate(url) {
  const socket = new (globalThis.WebSocket ?? (await import('@polkadot/x-ws')).WebSocket)(url);
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error('no connection')); });
  let id = 0;
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id: of, result, error } = JSON.parse(data);
    const [resolve, reject] = waiting.get(of);
    if (error) reject(new Error(error.message));
    else resolve(result);
  };
  return {
    ask: (method, params = []) => new Promise((resolve, reject) => {
      waiting.set(++id, [resolve, reject]);
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    }),
    close: () => socket.close(),
  };
}

async function acurast(url) {
  const node = await substrate(url);
  const [genesis, header, raw] = [await node.ask('chain_getBlockHash', [0]), await node.ask('chain_getHeader'), await node.ask('state_getStorage', [TIMESTAMP_NOW])];
  node.close();
  const timestamp = Number(Buffer.from(raw.slice(2), 'hex').readBigUInt64LE());
  return { genesis, number: Number(header.number), timestamp };
}

async function evm(url) {
  const block = await rpc(url, 'eth_getBlockByNumber', ['latest', false]);
  const first = await rpc(url, 'eth_getBlockByNumber', ['0x0', false]);
  return { genesis: first.hash, number: Number(block.number), timestamp: Number(block.timestamp) };
}

const [kind, url] = process.argv.slice(2);
const ask = { acurast, anvil: evm }[kind];
if (!ask || !url) {
  console.error('usage: ask.mjs acurast ws://HOST:PORT | anvil http://HOST:PORT');
  process.exit(2);
}
const late = setTimeout(() => process.exit(1), ANSWER_MS);
try {
  console.log(JSON.stringify(await ask(url)));
} catch {
  process.exitCode = 1;
}
clearTimeout(late);
