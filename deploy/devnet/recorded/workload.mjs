#!/usr/bin/env node
// The demo's workload without an Acurast node: its jobs come from a recording, block by block; the EVM side, the processors' outputs
// and the relayer's answers are as real as in workload.mjs of the devnet, whose command line this takes.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Keyring } from '@polkadot/api';
import { cryptoWaitReady } from '@polkadot/util-crypto';

import { Clock } from '../clock.mjs';
import { allClosed } from '../lib/closed.mjs';
import { EvmSender, anvilAccount, reader } from '../lib/evm.mjs';
import { plan } from '../lib/plans.mjs';
import { signedOutput, submit } from '../lib/processor.mjs';
import { provideEscrow, setUp } from '../lib/world.mjs';

const USAGE = `workload.mjs setup --out DIR   contracts, consumers and accounts; writes DIR/world.json
workload.mjs run --out DIR     while the relayer replays DIR/demo.jsonl: releases its blocks (DIR/height) and submits the outputs
  --anvil URL     (http://127.0.0.1:\${ANVIL_PORT:-8545})
  --relayer URL   (http://127.0.0.1:8080)`;
const { values: args, positionals } = parseArgs({ allowPositionals: true, options: {
  out: { type: 'string' }, anvil: { type: 'string', default: `http://127.0.0.1:${process.env.ANVIL_PORT ?? 8545}` },
  relayer: { type: 'string', default: 'http://127.0.0.1:8080' },
} });

const TICK_MS = 200;
/** How long an answer may take, and how long a processor asks for the transaction hash before it goes on without. */
const ANSWER_MS = 180_000;
const HASH_MS = 20_000;
const CLOSE_MS = 300_000;
const TIMESTAMP_NOW = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb';

const here = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const started = performance.now();
const say = (step, details = {}) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${step}${Object.entries(details).map(([k, v]) => ` · ${k.replaceAll('_', ' ')} ${v}`).join('')}`);
};
/** Whole or not at all: a reader never sees half a file. */
const write = (name, text) => {
  const file = join(args.out, name);
  writeFileSync(`${file}.part`, text);
  renameSync(`${file}.part`, file);
};
const plain = (value) => `${JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? v.toString() : v), 1)}\n`;

/** Stands where setUp expects the Acurast chain: its accounts and its time are known, and what is to happen on it was recorded. */
class RecordedChain {
  #nowMs;

  constructor({ clock_ms: clockMs, acurast }) {
    Object.assign(this, { genesis: acurast.genesis, recordedHeight: acurast.height, slotMs: 6_000, keyring: new Keyring({ type: 'sr25519' }) });
    this.#nowMs = clockMs;
    this.api = { tx: { acurastMarketplace: { advertise: () => null } } };
  }

  account(uri) { return this.keyring.addFromUri(uri); }
  async now() { return this.#nowMs; }
  async height() { return this.recordedHeight; }
  async fund() {}
  async setStorage() {}
  async mine() { return { timestamp: this.#nowMs }; }
  async mineAll(_calls, mine) { await mine([]); }
}

async function commandSetup() {
  const recorded = here('world.json');
  await cryptoWaitReady();
  const chain = new RecordedChain(recorded);
  const client = await reader(args.anvil);
  const world = await setUp({ chain, client, clock: new Clock(chain, args.anvil) }, {
    plans: plan({ count: recorded.jobs, seed: recorded.seed, hostile: false }), seed: recorded.seed, deployer: anvilAccount(0), relayer: anvilAccount(1).address, lane: 1,
    attesters: [anvilAccount(2).address], threshold: 1, ringSize: 1024, closeDelay: 86_400n,
  }, say);
  // Jobs, destinations and signatures of the recording name these addresses.
  if (world.evm.settlement !== recorded.settlement) throw new Error(`the contract is at ${world.evm.settlement}, the recording was made with ${recorded.settlement}; make it anew`);
  world.acurast = recorded.acurast;
  write('world.json', plain(world));
}

/** The recorded blocks: `{ number, timestamp }`. */
function blocks() {
  const lines = readFileSync(join(args.out, 'demo.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line).block).filter(Boolean);
  return lines.map(({ number, values }) => ({ number, timestamp: Number(Buffer.from(values[TIMESTAMP_NOW].slice(2), 'hex').readBigUInt64LE()) }));
}

/** Every output that was submitted when the recording was made, with its place in the manifest and the time it is due. */
function outputs(jobs) {
  return jobs.flatMap((job) => job.slots.flatMap((slot) => slot.assignments.flatMap((assignment) => assignment.executions
    .filter(({ payload }) => payload)
    .map((execution) => ({ job, slot, assignment, execution, dueMs: job.start_ms + execution.execution * job.interval_ms })))));
}

async function commandRun() {
  const world = JSON.parse(readFileSync(join(args.out, 'world.json')));
  const { plans: _, ...rest } = world;
  const jobs = here('manifest.json');
  const waiting = outputs(jobs);
  waiting.forEach(({ execution }) => { execution.answer = null; });
  const client = await reader(args.anvil);
  const clock = new Clock(null, args.anvil);
  const sender = new EvmSender(client, anvilAccount(0), clock);
  const save = (complete) => write('manifest.json', plain({ ...rest, complete, jobs }));
  save(false);

  let stopped = false;
  const mining = (async () => {
    while (!stopped) {
      await clock.mineEvm();
      await pause(TICK_MS);
    }
  })();
  mining.catch((error) => { console.error(`workload: blocks stopped coming: ${error.message}`); process.exit(1); });

  const provided = new Map();
  const provide = ({ consumer: index, index: job }) => {
    const consumer = world.consumers[index];
    if (consumer.escrow === 'open' || provided.has(index)) return;
    provided.set(index, provideEscrow({ client, sender }, world, consumer).then(() => say('escrow provided', { job })));
  };
  const deliver = async ({ job, slot, assignment, execution }) => {
    const output = signedOutput({
      domain: { chainId: world.evm.chain_id, contract: world.evm.settlement }, ss58: slot.processor_ss58,
      assignmentId: assignment.assignment_id, execution: execution.execution, payload: execution.payload,
    });
    const until = performance.now() + HASH_MS;
    execution.answer = await submit({
      relayers: [args.relayer], output, limitMs: ANSWER_MS, timeLeft: () => performance.now() < until, accepted: () => { provide(job); },
    });
  };

  for (const { number, timestamp } of blocks()) {
    write('height', `${number}\n`);
    await clock.mineEvm(timestamp);
    const due = waiting.filter(({ dueMs }) => dueMs <= timestamp);
    // The recorded reports come with the blocks after; no window closes before its outputs are answered.
    due.forEach((output) => waiting.splice(waiting.indexOf(output), 1));
    await Promise.all(due.map(deliver));
    await Promise.all(provided.values());
    if (due.length > 0) say('outputs answered', { block: number, outputs: due.length, with_hash: due.filter(({ execution }) => execution.answer.transaction_hash).length });
    await pause(TICK_MS);
  }
  if (waiting.length > 0) throw new Error(`${waiting.length} outputs are due after the recording's last block`);
  save(true);
  await closed(jobs.map(({ job_key: key }) => key));
  stopped = true;
  await mining;
  say('done', { jobs: jobs.length });
}

async function closed(keys) {
  for (const deadline = performance.now() + CLOSE_MS; ;) {
    const { open, unknown, error } = await allClosed(args.relayer, keys);
    if (!error && open.length === 0 && unknown.length === 0) return;
    if (performance.now() > deadline) throw new Error(`not all jobs are closed: ${error ?? `${open.length} open, ${unknown.length} unknown`}; ${[...open, ...unknown].slice(0, 5).join(', ')}`);
    await pause(500);
  }
}

const command = { setup: commandSetup, run: commandRun }[positionals[0]];
if (!command || positionals.length !== 1 || !args.out) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await command();
  process.exit(0);
} catch (error) {
  console.error(`workload: ${error.stack}`);
  process.exit(1);
}
