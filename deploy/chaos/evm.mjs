#!/usr/bin/env node
// Thousands of outputs onto an EVM chain in bad weather, through proxies that spoil the relayer's requests, while the relayer is killed
// every few seconds; then everything is counted by others than itself, who ask the chain directly.
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { writeConfig } from '../demo/config.mjs';
import { report, table, write } from '../demo/report.mjs';
import { rpc } from '../devnet/clock.mjs';
import { eventTypes, readJournal } from '../devnet/lib/journal.mjs';
import { waveOf } from '../devnet/lib/world.mjs';
import { figuresOf, journalOf, observed, replayFault } from './counting.mjs';
import { keepKilling } from './killing.mjs';
import { Moments } from './moments.mjs';
import { Proxy } from './proxy.mjs';
import { Slots, judgeLanes } from './slots.mjs';
import { Victim } from './victim.mjs';
import { Work } from './work.mjs';

const USAGE = `evm.mjs --dir DIR --relayer BINARY --proxy BINARY --api URL --acurast URL --anvil URL [options]
Expects a devnet that is up and DIR/world.json (workload.mjs setup --fulfilments N); deploy/chaos-evm.sh does all that.

  --seed N             of the kills, the weather and the proxies' faults (1)
  --faults-permille N  of the relayer's requests meet a fault (100)
  --limit-s N          the most that all of it may take (1800)`;

const TARGET = 'chaos-evm';
/** The claim; a smaller or kinder run is for trying things out and doesn't hold. */
const LEAST = { effects: 2_000, kills: 30, reorgs: 30, faults: 1_000 };
const NONE = ['settled_twice', 'holes', 'lost', 'ledger_difference'];
/** Of a figure that could not be counted. */
const UNKNOWN = -1;
const KILLED_MS = { least: 2_000, most: 5_000 };
/** Blocks until finality, and the most that a reorganization replaces: always less. */
const FINALITY_DEPTH = 8;
const REORG_DEPTH = 6;
/** Both lead to the one node; each spoils requests of its own. */
const PROXIES = 2;
/** A block comes every 200 ms: what isn't mined after so many is replaced. */
const FEES = { replace_after_ms: 1_500 };
/** Small batches: many transactions for the weather to meet. */
const BATCH = { items_max: 6, item_age_ms_max: 200 };
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { values: args } = parseArgs({ options: {
  dir: { type: 'string' }, relayer: { type: 'string' }, proxy: { type: 'string' }, api: { type: 'string' }, acurast: { type: 'string' }, anvil: { type: 'string' },
  seed: { type: 'string', default: '1' }, 'faults-permille': { type: 'string', default: '100' }, 'limit-s': { type: 'string', default: '1800' },
  help: { type: 'boolean', short: 'h', default: false },
} });
const [seed, permille, limitS] = [args.seed, args['faults-permille'], args['limit-s']].map(Number);
const complete = ['dir', 'relayer', 'proxy', 'api', 'acurast', 'anvil'].every((name) => args[name]) && [seed, permille, limitS].every((n) => Number.isSafeInteger(n) && n >= 0);
if (args.help || !complete) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

const started = new Date();
const begun = performance.now();
const say = (text) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${text}`);
const world = JSON.parse(readFileSync(join(args.dir, 'world.json')));
const jobs = world.plans.length;
const weather = { reorgs: 0, reorged_transactions: 0, reorged_out: 0, fee_spikes: 0, forgotten_pools: 0, pauses: 0 };
const failures = [];
const figures = { effects: UNKNOWN, settled_twice: UNKNOWN, holes: UNKNOWN, lost: UNKNOWN, ledger_difference: UNKNOWN, kills: 0, faults: UNKNOWN, reorgs: 0, seed };

let victim = null;
let work = null;
let stopped = false;
const proxies = Array.from({ length: PROXIES }, (_, i) => new Proxy({ command: args.proxy, upstream: args.anvil, permille, seed: seed + i }));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    console.error(`${TARGET}: stopping, by ${signal}`);
    stopped = true;
    work?.stop();
  });
}
let config;
try {
  await underFire();
} catch (error) {
  failures.push(error.message);
} finally {
  await work?.stop();
  const disorder = await victim?.stop();
  if (disorder) failures.push(`the last stop of the relayer: ${disorder}`);
  await spoilt();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
}
// A stopped run says nothing about the relayer: no report, only an end.
if (stopped) process.exit(130);
try {
  await count();
} catch (error) {
  failures.push(`could not count: ${error.message}`);
}
figures.seconds = Math.round((performance.now() - begun) / 1_000);
const result = report({ target: TARGET, started, figures, failures: [...failures, ...judge()] });
const file = write(result);
console.log(`\n${table(result)}\n\n  ${file}\n  seed ${seed}: SEED=${seed} make ${TARGET} draws the same moments, weather and faults`);
if (!result.holds) console.log(`  journal, state, logs and manifest stay in ${args.dir}`);
process.exit(result.holds ? 0 : 1);

async function underFire() {
  config = writeConfig({
    world, out: args.dir, acurast: args.acurast, anvil: await Promise.all(proxies.map((proxy) => proxy.url())), api: new URL(args.api).host,
    finalityDepth: FINALITY_DEPTH, fees: FEES, batch: BATCH,
  });
  victim = new Victim({ command: args.relayer, args: ['run', '--config', config], log: join(args.dir, 'relayer.log'), health: `${args.api}/healthz` });
  victim.start();
  if (!(await victim.untilServing(() => stopped))) return;
  say(`the relayer serves; seed ${seed}, ${jobs} jobs`);
  const run = ['run', '--json', '--out', args.dir, '--relayer', args.api, '--acurast', args.acurast, '--anvil', args.anvil];
  work = new Work({
    command: process.execPath,
    args: [here('../devnet/workload.mjs'), ...run, '--answer-limit-s', String(limitS), '--close-limit-s', String(limitS), '--storm', String(seed), '--reorg-depth', String(REORG_DEPTH)],
    waves: Math.ceil(jobs / waveOf(world)), told,
  });
  const late = setTimeout(() => { failures.push(`the workload did not end within ${limitS} s`); work.stop(); }, limitS * 1_000 - (performance.now() - begun));
  try {
    const moments = new Moments(seed, { servingMs: KILLED_MS });
    figures.kills_in_recovery = await keepKilling({ victim, moments, kills: Infinity, progress: () => work.progress, over: () => work.over });
    say(`the work is over; ${victim.kills} kills`);
    await work.done;
  } finally {
    clearTimeout(late);
  }
  if (work.ended.failure) failures.push(`the workload ${work.ended.failure}`);
  if (!stopped) await victim.untilServing();
}

/** Counts the weather, and shows what a reader wants to see pass by. */
function told({ step, wave, status, execution, ...of }) {
  if (step === 'storm') {
    if (of.kind === 'reorg' && of.from !== of.to) {
      weather.reorgs += 1;
      weather.reorged_transactions += of.transactions;
      weather.reorged_out += of.transactions - of.placed;
    }
    if (of.kind === 'spike') weather.fee_spikes += 1;
    if (of.kind === 'forget') weather.forgotten_pools += 1;
    if (of.kind === 'pause') weather.pauses += 1;
  } else if (step === 'executed' || !wave) {
    say([step, wave && `wave ${wave}`, execution !== undefined && `execution ${execution}`, status, `${victim.kills} kills`, `${weather.reorgs} reorgs`].filter(Boolean).join(' · '));
  }
}

/** What the proxies spoilt. */
async function spoilt() {
  for (const { failure } of proxies) if (failure) failures.push(failure);
  try {
    const counts = await Promise.all(proxies.map((proxy) => proxy.counts()));
    const total = (name) => counts.reduce((sum, of) => sum + of[name], 0);
    Object.assign(figures, { faults: total('faulted'), requests: total('requests') });
  } catch (error) {
    failures.push(`the proxies' faults could not be counted: ${error.message}`);
  }
}

async function count() {
  const journal = await journalOf({ relayer: args.relayer, config, dir: args.dir });
  const seen = await observed({ dir: args.dir, anvil: args.anvil, journal });
  failures.push(...seen.failures);
  const { executions_settled: effects, ...common } = figuresOf({ victim, seen, jobs });
  Object.assign(figures, common, { effects, delivered: seen.chain.delivered, skipped_items: seen.chain.skipped_items });

  const slots = new Slots();
  const lines = createInterface({ input: createReadStream(journal), crlfDelay: Infinity });
  await readJournal(lines, { types: eventTypes(here('../../events/proto')), visit: (record) => slots.visit(record) });
  const lanes = await judgeLanes(slots, world, (method, params) => rpc(args.anvil, method, params));
  failures.push(...lanes.failures);
  Object.assign(figures, lanes.figures);
  const of = (event) => slots.events[event] ?? 0;
  Object.assign(figures, weather, {
    attempts: of('attempt_prepared'), seen_orphaned: of('attempt_orphaned'), seen_evicted_or_replaced: of('attempt_ended'), returned: of('intent_returned'), given_up: of('intent_dead'),
  });
  const fault = await replayFault({ relayer: args.relayer, config });
  figures.digests_equal = fault === null;
  if (fault) failures.push(fault);
}

/** What must be so beyond what observer and slots say. */
function judge() {
  const wrong = victim ? victim.ownExits.map((text) => `the relayer ${text}`) : [];
  for (const [name, least] of Object.entries(LEAST)) if (figures[name] < least) wrong.push(`${figures[name]} ${name} are fewer than the ${least} that this target claims`);
  if (figures.effects > LEAST.effects && figures.effects !== planned()) wrong.push(`${figures.effects} effects are not the ${planned()} that were planned`);
  for (const name of NONE) if (figures[name] !== 0) wrong.push(`${name} is ${figures[name] === UNKNOWN ? 'unknown' : figures[name]}`);
  return wrong;
}

/** How many outputs the world's jobs have to deliver. */
function planned() {
  return world.plans.flatMap(({ slots }) => slots.flat()).length;
}
