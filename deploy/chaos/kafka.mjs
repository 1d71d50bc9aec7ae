#!/usr/bin/env node
// Three replicas on three brokers settle the jobs of a crowd of owners while both are killed, paused, restarted and fed poison; then
// everything is counted by others than the replicas: effects and money on the chain, records, terms and takeovers by a second reader of the
// journal, digests by a replay from its first record beside the state of every replica.
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { lanesOf, writeConfig } from '../demo/config.mjs';
import { report, table, write } from '../demo/report.mjs';
import { rpc } from '../devnet/clock.mjs';
import { eventTypes, readJournal } from '../devnet/lib/journal.mjs';
import { waveOf } from '../devnet/lib/world.mjs';
import { BROKER_DECK, brokerFaults } from './broker-faults.mjs';
import { Brokers } from './brokers.mjs';
import { digestFaults, figuresOf, journalOf, observed, replay, run } from './counting.mjs';
import { Deck } from './deck.mjs';
import { pacedBy, untilOver } from './interleave.mjs';
import { REPLICA_DECK, replicaFaults } from './replica-faults.mjs';
import { Replica, Replicas } from './replicas.mjs';
import { Settled } from './settled.mjs';
import { Slots, judgeLanes } from './slots.mjs';
import { Terms, percentile, takeovers } from './takeover.mjs';
import { Work } from './work.mjs';

const USAGE = `kafka.mjs --dir DIR --relayer BINARY --acurast URL --anvil URL --brokers LIST --kafka-home DIR --kafka-port N [options]
Expects a devnet and three brokers that are up, and DIR/world.json (workload.mjs setup --owners N); deploy/chaos-kafka.sh does all that.

  --apis LIST        ports of the replicas, one each (9615,9616,9617)
  --seed N           of the faults and their moments (1)
  --wave-s N         the least time that a wave of jobs takes (12)
  --checkpoint-ms N  between the checkpoints that replicas take outside of their volumes (15000; 0: none, who loses its volume folds anew)
  --limit-s N        the most that all of it may take (2700)
  --faults 0|1       0 disturbs nothing, to see how fast the rest is (1)
  --ingest-ratio CMD run by a shell once the work is over, with $RELAYER and $CONFIG; the last line it prints is {"ingest_ratio": number}`;

const TARGET = 'chaos-kafka';
const REPLICAS = 3;
const PARTITIONS = 12;
/** The claim; a smaller or kinder run is for trying things out and doesn't hold. */
const LEAST = {
  effects: 5_000, jobs: 5_000, owners: 200, kills: 10, pauses: 3, rolling_restarts: 1, lost_volumes: 2, rebalance_storms: 1,
  broker_kills: 3, broker_pauses: 1, leader_moves: 2, below_minimum: 1, poisonings: 2, ingest_ratio: 0.5,
};
const NONE = ['settled_twice', 'lost', 'ledger_difference', 'holes', 'foreign', 'orphaned_partitions'];
/** Of a figure that could not be counted. */
const UNKNOWN = -1;
const FIGURES = {
  kill: 'owner_kills', pause: 'pauses', rolling_restart: 'rolling_restarts', lost_volume: 'lost_volumes', rebalance_storm: 'rebalance_storms',
  broker_kill: 'broker_kills', broker_pause: 'broker_pauses', leader_move: 'leader_moves', poison: 'poisonings', below_minimum: 'below_minimum',
};
const LEASE_MS = 3_000;
const SESSION_MS = 6_000;
/** Long enough that jobs settle between two faults on two cores, and short enough that one often comes before the last one's wake is over. */
const REST_MS = { replicas: { least: 1_000, most: 24_000 }, brokers: { least: 4_000, most: 36_000 } };
/** How much is settled between two faults at least, or how long it takes at most. */
const WORK = { least: 25, limitMs: 60_000 };
/** A start may have to wait for brokers. */
const READY_MS = 240_000;
const CALM_MS = 240_000;
const STILL_MS = 180_000;
const LOOK_MS = 2_000;
const TOLD_MS = 30_000;
/** A block comes every 200 ms, and two cores carry eight servers: what isn't mined after so long is replaced. */
const FEES = { replace_after_ms: 8_000 };
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const text = { type: 'string' };
const { values: args } = parseArgs({ options: {
  dir: text, relayer: text, acurast: text, anvil: text, brokers: text, 'kafka-home': text, 'kafka-port': text, apis: { ...text, default: '9615,9616,9617' },
  seed: { ...text, default: '1' }, 'wave-s': { ...text, default: '12' }, 'checkpoint-ms': { ...text, default: '15000' }, 'limit-s': { ...text, default: '2700' }, faults: { ...text, default: '1' }, 'ingest-ratio': text,
  help: { type: 'boolean', short: 'h', default: false },
} });
const [seed, waveS, limitS, kafkaPort, checkpointMs] = [args.seed, args['wave-s'], args['limit-s'], args['kafka-port'], args['checkpoint-ms']].map(Number);
const ports = args.apis.split(',').map(Number);
const complete = ['dir', 'relayer', 'acurast', 'anvil', 'brokers', 'kafka-home'].every((name) => args[name]) && ports.length === REPLICAS
  && [seed, waveS, limitS, kafkaPort, checkpointMs, ...ports].every((n) => Number.isSafeInteger(n) && n >= 0);
if (args.help || !complete) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

const started = new Date();
const begun = performance.now();
const say = (words) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${words}`);
const world = JSON.parse(readFileSync(join(args.dir, 'world.json')));
const failures = [];
const figures = {
  effects: UNKNOWN, settled_twice: UNKNOWN, lost: UNKNOWN, digests_equal: false, replicas: REPLICAS, takeover_p50_ms: UNKNOWN, takeover_p99_ms: UNKNOWN,
  ingest_ratio: UNKNOWN, ledger_difference: UNKNOWN, seconds: UNKNOWN, jobs: world.plans.length, owners: world.consumers.length, brokers: REPLICAS,
  partitions: PARTITIONS, seed,
};
const [kills, pauses] = [[], []];
const counts = { orderly_restarts: 0, leaders_moved: 0, poison_records: 0, poisoned: new Set() };

let work = null;
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    console.error(`${TARGET}: stopping, by ${signal}`);
    stopped = true;
    work?.stop();
  });
}
const given = () => stopped;
const over = () => stopped || work.over;
const brokers = new Brokers({ home: args['kafka-home'], port: kafkaPort, addresses: args.brokers });
const settled = new Settled({ anvil: args.anvil, evm: world.evm });
const replicas = new Replicas(ports.map(replica));
let rested = false;
try {
  await underFaults();
} catch (error) {
  failures.push(error.message);
} finally {
  await work?.stop();
  await brokers.healAll().catch((error) => failures.push(error.message));
  await (rested ? replicas.end() : replicas.stop());
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
console.log(`\n${table(result)}\n\n  ${file}\n  seed ${seed}: SEED=${seed} make ${TARGET} draws the same faults`);
if (!result.holds) console.log(`  journal, states, logs and manifest stay in ${args.dir}`);
process.exit(result.holds ? 0 : 1);

/** The replica of that port, its configuration, keys and volume in a folder of its own; its attester is another than the others'. */
function replica(port, i) {
  const name = `replica-${i + 1}`;
  const out = join(args.dir, name);
  const config = writeConfig({
    world, out, acurast: args.acurast, anvil: args.anvil, api: `127.0.0.1:${port}`, attester: world.evm.attesters.length >= REPLICAS ? i : undefined, fees: FEES,
    journal: { brokers: args.brokers.split(','), partitions: PARTITIONS, lane_partitions: lanesOf(world).length, lease_ms: LEASE_MS, group: { session_timeout_ms: SESSION_MS } },
    checkpoints: checkpointMs > 0 ? { directory: join(args.dir, 'checkpoints', name), every_ms: checkpointMs } : null,
  });
  return new Replica({ name, command: args.relayer, config, api: `http://127.0.0.1:${port}`, dataDir: join(out, 'data'), dir: args.dir, readyMs: READY_MS });
}

async function underFaults() {
  const topics = await run(args.relayer, ['topics', 'apply', '--config', replicas.all[0].config]);
  if (topics.code !== 0) throw new Error(`the topics could not be made: ${topics.error}`);
  replicas.all.forEach(({ victim }) => victim.start());
  for (const { victim } of replicas.all) if (!(await victim.untilServing(given))) return;
  if (!(await replicas.untilCalm({ limitMs: CALM_MS, given }))) return;
  say(`${REPLICAS} replicas serve; seed ${seed}, ${figures.jobs} jobs of ${figures.owners} owners`);
  work = new Work({
    command: process.execPath, waves: Math.ceil(figures.jobs / waveOf(world)), told: ({ step, wave, status }) => { if (!wave) say([step, status].filter(Boolean).join(' · ')); },
    args: [here('../devnet/workload.mjs'), 'run', '--json', '--out', args.dir, '--acurast', args.acurast, '--anvil', args.anvil, '--wave-s', String(waveS),
      '--answer-limit-s', String(limitS), '--close-limit-s', String(limitS), ...replicas.all.flatMap(({ api }) => ['--relayer', api])],
  });
  const late = setTimeout(() => { failures.push(`the workload did not end within ${limitS} s`); work.stop(); }, limitS * 1_000 - (performance.now() - begun));
  try {
    const disturbed = args.faults !== '0';
    const [replicasWorked, brokersWorked] = [0, 1].map(() => pacedBy(() => settled.count, { ...WORK, over }));
    const [watched, ofReplicas, ofBrokers] = await Promise.all([
      watch(),
      disturbed && untilOver({
        deck: new Deck(seed, REPLICA_DECK, REST_MS.replicas), over, told: tell,
        before: async () => { await replicasWorked(); return replicas.untilCalm({ limitMs: CALM_MS, given: over }); },
        faults: replicaFaults({ replicas, kills, pauses, counts, failures, given }),
      }),
      disturbed && untilOver({
        deck: new Deck(seed + 1, BROKER_DECK, REST_MS.brokers), over, told: tell, before: async () => { await brokersWorked(); return true; },
        faults: brokerFaults({ brokers, counts, given }),
      }),
    ]);
    failures.push(...watched, ...ofReplicas.wrong ?? [], ...ofBrokers.wrong ?? []);
    for (const [kind, times] of Object.entries({ ...ofReplicas.counts, ...ofBrokers.counts })) figures[FIGURES[kind]] = times;
    await work.done;
  } finally {
    clearTimeout(late);
  }
  if (stopped) return;
  if (work.ended.failure) failures.push(`the workload ${work.ended.failure}`);
  await replicas.untilCalm({ limitMs: CALM_MS, given });
  rested = Boolean(await replicas.untilStill({ limitMs: STILL_MS, given }));
  say('the replicas came to rest');
}

function tell(kind, ms) { say(`${kind} · ${ms} ms · ${settled.count} settled`); }

/** Reads on how much is settled, so that people see it grow. */
async function watch() {
  let toldAt = performance.now();
  while (!over()) {
    try {
      await settled.look();
      if (performance.now() - toldAt >= TOLD_MS) {
        toldAt = performance.now();
        say(`${settled.count} of ${planned()} settled`);
      }
    } catch (error) {
      return [`the chain does not answer: ${error.message}`];
    }
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
  return [];
}

async function count() {
  const [{ config }] = replicas.all;
  const journal = await journalOf({ relayer: args.relayer, config, dir: args.dir });
  const seen = await observed({ dir: args.dir, anvil: args.anvil, journal });
  failures.push(...seen.failures);
  const victims = replicas.all.map(({ victim }) => victim);
  const victim = { kills: kills.length, ownExits: victims.flatMap(({ ownExits }) => ownExits), startsMs: victims.flatMap(({ startsMs }) => startsMs) };
  const { executions_settled: effects, ...common } = figuresOf({ victim, seen, jobs: figures.jobs });
  const { undecodable } = seen.journal.figures;
  Object.assign(figures, { effects }, common, { records_undecodable: undecodable });

  const [terms, slots] = [new Terms(), new Slots()];
  const lines = createInterface({ input: createReadStream(journal), crlfDelay: Infinity });
  await readJournal(lines, { types: eventTypes(here('../../events/proto')), visit: (record) => { terms.visit(record); slots.visit(record); } });
  const { takenMs, orphans } = takeovers(kills, terms);
  failures.push(...orphans.map((orphan) => `nobody acted in ${orphan}`));
  // A transaction of a lane's key that no accepted record prepared is one that a replica sent out of turn.
  const lanes = await judgeLanes(slots, world, (method, params) => rpc(args.anvil, method, params));
  failures.push(...lanes.failures);
  Object.assign(figures, lanes.figures, {
    takeover_p50_ms: percentile(takenMs, 0.5), takeover_p99_ms: percentile(takenMs, 0.99), takeovers: takenMs.length, orphaned_partitions: orphans.length, changes_of_owner: terms.changes,
    slowest_stand_down_ms: Math.max(UNKNOWN, ...pauses.map(({ stoodDownMs }) => stoodDownMs)),
    orderly_restarts: counts.orderly_restarts, leaders_moved: counts.leaders_moved, poison_records: counts.poison_records, poisoned_topics: counts.poisoned.size,
  });

  const said = async (words) => (await Promise.all(replicas.all.map((of) => of.said(words)))).reduce((a, b) => a + b, 0);
  Object.assign(figures, { taken_over: await said('taken over'), stood_down: await said('stood down'), rebuilt: await said('rebuilding from the journal') });

  const replays = [];
  for (const { name, config: of } of replicas.all) replays.push([name, await replay({ relayer: args.relayer, config: of })]);
  const wrong = digestFaults(replays);
  figures.digests_equal = wrong.length === 0;
  failures.push(...wrong);
  if (args['ingest-ratio']) await ingestRatio(config);
}

async function ingestRatio(config) {
  const { code, out, error } = await run('/bin/sh', ['-c', args['ingest-ratio']], null, { ...process.env, RELAYER: args.relayer, CONFIG: config });
  if (code !== 0) throw new Error(`the ingest ratio could not be measured: ${error}`);
  figures.ingest_ratio = JSON.parse(out.trim().split('\n').at(-1)).ingest_ratio;
}

/** What must be so beyond what the observer says. */
function judge() {
  const wrong = replicas.all.flatMap(({ name, victim }) => victim.ownExits.map((words) => `${name}: ${words}`));
  for (const [name, least] of Object.entries(LEAST)) {
    const has = figures[name] ?? UNKNOWN;
    if (has < least) wrong.push(has === UNKNOWN ? `${name} was not counted; at least ${least} is claimed` : `${name} is ${has}; at least ${least} is claimed`);
  }
  if (figures.effects !== planned()) wrong.push(`${figures.effects} effects are not the ${planned()} that were planned`);
  for (const name of NONE) if (figures[name] !== 0) wrong.push(`${name} is ${(figures[name] ?? UNKNOWN) === UNKNOWN ? 'unknown' : figures[name]}`);
  if (!figures.digests_equal) wrong.push('the digests are not equal, or were not compared');
  return wrong;
}

/** How many outputs the world's jobs have to deliver. */
function planned() {
  return world.plans.flatMap(({ slots }) => slots.flat(2)).filter((action) => action === 'output').length;
}
