#!/usr/bin/env node
// The world of the demo and of the chaos runs: sets up contracts, consumers and accounts, then takes jobs through their whole lives
// on the real Acurast runtime while their processors submit outputs to a running relayer.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { Clock } from './clock.mjs';
import { AcurastChain } from './lib/chain.mjs';
import { EvmSender, anvilAccount, reader } from './lib/evm.mjs';
import { allClosed } from './lib/closed.mjs';
import { crowd, deliveries, plan } from './lib/plans.mjs';
import { Storm } from './lib/storm.mjs';
import { Wave } from './lib/wave.mjs';
import { setUp, waveOf } from './lib/world.mjs';

const USAGE = `workload.mjs setup --out DIR [options]   before the relayer starts: contracts, roles, consumers, accounts
workload.mjs run --out DIR [options]     while the relayer runs: the jobs

Both:
  --acurast URL        Acurast dev node (ws://127.0.0.1:\${ACURAST_PORT:-9944})
  --anvil URL          EVM node that mines on request (http://127.0.0.1:\${ANVIL_PORT:-8545})
  --out DIR            setup writes DIR/world.json (with what the relayer's config needs), run writes DIR/manifest.json
  --json               one JSON object per line of progress
setup:
  --jobs N             jobs (22, which is every path once; with --hostile 26)
  --fulfilments N      as many jobs as it takes for exactly so many deliverable outputs instead, and nothing but those
  --owners N           the jobs are many small ones of so many owners, with as many outputs to deliver as jobs
  --wave N             jobs driven at once (12)
  --seed N             of the actions of further jobs (1)
  --hostile            add targets that revert, burn their gas, reenter, and answer with a megabyte
  --relayer-address A  gets the lane (anvil's account 1); is given ether when it has none
  --lane N             its number (1)
  --lanes N            lanes in all (1); further ones have the numbers after it and anvil's accounts from 6 on
  --attester A         signs roots; may be repeated (anvil's account 2)
  --attesters N        so many of anvil's accounts from 2 on instead (at most 4)
  --threshold N        attesters that must sign (1)
  --ring-size N        root slots per lane (1024)
  --close-delay N      seconds from a close request to the refund (86400)
run:
  --relayer URL        its outputs API (http://127.0.0.1:8080); repeated for replicas, any of which a processor asks
  --tick-ms N          real time between blocks of both chains (200)
  --answer-limit-s N   real time within which the relayer must answer an output (180)
  --wave-s N           the least real time from one wave's begin to the next one's (0)
  --close-limit-s N    real time within which GET /v1/jobs must say that all jobs are closed (300)
  --no-wait-closed     end after the last job instead
  --storm N            bad weather on the EVM chain, drawn from seed N: reorganizations, fee spikes, lost pools, pauses
  --reorg-depth N      the most blocks that one of its reorganizations replaces (5)`;

const text = (fallback) => ({ type: 'string', default: fallback });
const flag = { type: 'boolean', default: false };
const { values: args, positionals } = parseArgs({ allowPositionals: true, options: {
  acurast: text(`ws://127.0.0.1:${process.env.ACURAST_PORT ?? 9944}`), anvil: text(`http://127.0.0.1:${process.env.ANVIL_PORT ?? 8545}`),
  out: { type: 'string' }, json: flag, jobs: { type: 'string' }, seed: text('1'), hostile: flag,
  'relayer-address': text(anvilAccount(1).address), lane: text('1'), lanes: text('1'), attester: { type: 'string', multiple: true }, attesters: text('1'), threshold: text('1'),
  'ring-size': text('1024'), 'close-delay': text('86400'), relayer: { type: 'string', multiple: true, default: ['http://127.0.0.1:8080'] }, 'tick-ms': text('200'),
  'answer-limit-s': text('180'), 'close-limit-s': text('300'), 'no-wait-closed': flag,
  fulfilments: { type: 'string' }, owners: { type: 'string' }, wave: { type: 'string' }, 'wave-s': text('0'), storm: { type: 'string' }, 'reorg-depth': text('5'), help: { type: 'boolean', short: 'h', default: false },
} });

const fail = (message, code = 1) => { console.error(`workload: ${message}`); process.exit(code); };
const whole = (name, least) => {
  const value = Number(args[name]);
  return Number.isSafeInteger(value) && value >= least ? value : fail(`--${name} must be a whole number of at least ${least}`, 2);
};
/** anvil's first account for a further lane: those before it deploy, relay and attest. */
const FIRST_FURTHER = 6;
const ANVIL_ACCOUNTS = 10;
const FIRST_ATTESTER = 2;

const started = performance.now();
const say = (step, details = {}) => {
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  if (args.json) console.log(JSON.stringify({ seconds, step, ...details }));
  else console.log(`${seconds.toFixed(1).padStart(6)} s  ${step}${Object.entries(details).map(([k, v]) => ` · ${k.replaceAll('_', ' ')} ${v}`).join('')}`);
};
/** Whole or not at all: a reader never sees half a file. */
const write = (name, value) => {
  const file = join(args.out, name);
  const plain = JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? v.toString() : v), 1);
  writeFileSync(`${file}.part`, `${plain}\n`);
  renameSync(`${file}.part`, file);
};

async function connect() {
  const chain = await AcurastChain.connect(args.acurast);
  const client = await reader(args.anvil);
  const clock = new Clock(chain, args.anvil);
  return { chain, client, clock };
}

/** Lanes beside the first: by number and account, one after the other. */
function furtherLanes() {
  const count = whole('lanes', 1) - 1;
  if (FIRST_FURTHER + count > ANVIL_ACCOUNTS) fail(`--lanes: anvil has accounts for ${1 + ANVIL_ACCOUNTS - FIRST_FURTHER} lanes`, 2);
  return Array.from({ length: count }, (_, i) => ({ relayer: anvilAccount(FIRST_FURTHER + i).address, lane: whole('lane', 0) + 1 + i }));
}

function attesters() {
  const count = whole('attesters', 1);
  if (FIRST_ATTESTER + count > FIRST_FURTHER) fail(`--attesters: anvil has accounts for ${FIRST_FURTHER - FIRST_ATTESTER} attesters`, 2);
  return Array.from({ length: count }, (_, i) => anvilAccount(FIRST_ATTESTER + i).address);
}

function plans() {
  if (args.fulfilments) return deliveries(whole('fulfilments', 1));
  const [count, seed] = [whole('jobs', 1), whole('seed', 0)];
  return args.owners ? crowd({ count, owners: whole('owners', 1), seed }) : plan({ count, seed, hostile: args.hostile });
}

async function commandSetup() {
  const ports = await connect();
  const world = await setUp(ports, {
    plans: plans(), ...args.wave && { wave: whole('wave', 1) },
    seed: whole('seed', 0), deployer: anvilAccount(0), relayer: args['relayer-address'], lane: whole('lane', 0), furtherLanes: furtherLanes(),
    attesters: args.attester ?? attesters(), threshold: whole('threshold', 1), ringSize: whole('ring-size', 1), closeDelay: BigInt(whole('close-delay', 1)),
  }, say);
  write('world.json', world);
  say('world set up', { jobs: world.plans.length, file: join(args.out, 'world.json') });
  await ports.chain.close();
}

async function commandRun() {
  const world = JSON.parse(readFileSync(join(args.out, 'world.json')));
  const ports = await connect();
  if (ports.chain.genesis !== world.acurast.genesis) fail(`${args.acurast} has genesis ${ports.chain.genesis}, the world was set up on ${world.acurast.genesis}`);
  const { plans, ...rest } = world;
  const manifest = { ...rest, complete: false, jobs: [] };
  let wave = null;
  const save = () => write('manifest.json', { ...manifest, jobs: [...manifest.jobs, ...(wave?.manifest() ?? [])] });
  const stop = (signal) => { save(); fail(`stopped by ${signal}`, 130); };
  process.once('SIGINT', stop).once('SIGTERM', stop);

  ports.clock.start(whole('tick-ms', 1), (error) => { save(); fail(`blocks stopped coming: ${error.message}`); });
  const storm = args.storm && new Storm({ clock: ports.clock, url: args.anvil, floor: world.evm.height, seed: whole('storm', 0), deepest: whole('reorg-depth', 1), say });
  storm?.start((error) => { save(); fail(`the storm broke off: ${error.message}`); });
  const sender = new EvmSender(ports.client, anvilAccount(0), ports.clock);
  const width = waveOf(world);
  const waveSay = (step, details) => say(step, { wave: Math.floor(manifest.jobs.length / width) + 1, ...details });
  try {
    for (let first = 0; first < plans.length; first += width) {
      const own = plans.slice(first, first + width);
      const paced = new Promise((resolve) => { setTimeout(resolve, 1_000 * whole('wave-s', 0)); });
      wave = new Wave({ ...ports, sender, relayers: args.relayer, say: waveSay }, world, own, { limitMs: 1_000 * whole('answer-limit-s', 1) });
      const jobs = await wave.run();
      if (first + width < plans.length) await paced;
      wave = null;
      manifest.jobs.push(...jobs);
      save();
    }
    manifest.complete = true;
    save();
    if (!args['no-wait-closed']) await waitClosed(manifest.jobs);
  } catch (error) {
    save();
    throw error;
  }
  await storm?.stop();
  await ports.clock.stop();
  await ports.chain.close();
  say('done', { jobs: manifest.jobs.length, file: join(args.out, 'manifest.json') });
}

/** Blocks keep coming until the relayer says that every job is closed. */
async function waitClosed(jobs) {
  const seen = jobs.map(({ job_key: key }) => key);
  const deadline = performance.now() + 1_000 * whole('close-limit-s', 1);
  for (let [said, turn] = ['', 0]; ;) {
    const { open, unknown, error } = await allClosed(args.relayer[turn++ % args.relayer.length], seen);
    if (!error && open.length === 0 && unknown.length === 0) return;
    const status = error ?? `${open.length} open, ${unknown.length} unknown`;
    if (status !== said) say('waiting until all jobs are closed', { status });
    said = status;
    if (performance.now() > deadline) throw new Error(`not all jobs are closed after ${args['close-limit-s']} s: ${status}; ${[...open, ...unknown].slice(0, 5).join(', ')}`);
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
}

if (args.help) {
  console.log(USAGE);
} else {
  const command = { setup: commandSetup, run: commandRun }[positionals[0]];
  if (!command || positionals.length !== 1 || !args.out) fail(`what to do?\n${USAGE}`, 2);
  args.jobs ??= args.hostile ? '26' : '22';
  mkdirSync(args.out, { recursive: true });
  try {
    await command();
    process.exit(0); // the WebSocket provider keeps reconnect timers
  } catch (error) {
    fail(error.stack ?? String(error));
  }
}
