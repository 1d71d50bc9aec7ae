#!/usr/bin/env node
// kill -9 of the relayer at random moments while it settles; then everything is counted by others than itself: effects and money on
// the chain, records, outcomes and ledger by a second reader of the journal, digests by a replay into an empty state.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { waveOf } from '../devnet/lib/world.mjs';
import { report, table, write } from '../demo/report.mjs';
import { figuresOf, journalOf, observed, replayFault } from './counting.mjs';
import { keepKilling } from './killing.mjs';
import { Moments } from './moments.mjs';
import { Victim } from './victim.mjs';
import { Work } from './work.mjs';

const USAGE = `crash.mjs --dir DIR --relayer BINARY --api URL --acurast URL --anvil URL [options]
Expects a devnet that is up, DIR/world.json (workload.mjs setup) and DIR/relayer.toml (demo/config.mjs); deploy/chaos-crash.sh does all that.

  --kills N    how often the relayer is killed (60)
  --seed N     of the moments (1)
  --limit-s N  the most that all of it may take (2400)`;

const TARGET = 'chaos-crash';
/** The claim; a smaller run is for trying things out and doesn't hold. */
const LEAST = { kills: 50, jobs: 200 };
/** Of a figure that could not be counted. */
const UNKNOWN = -1;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { values: args } = parseArgs({ options: {
  dir: { type: 'string' }, relayer: { type: 'string' }, api: { type: 'string' }, acurast: { type: 'string' }, anvil: { type: 'string' },
  kills: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' }, 'limit-s': { type: 'string', default: '2400' },
  help: { type: 'boolean', short: 'h', default: false },
} });
const [kills, seed, limitS] = [args.kills, args.seed, args['limit-s']].map(Number);
const complete = ['dir', 'relayer', 'api', 'acurast', 'anvil'].every((name) => args[name]) && [kills, seed, limitS].every((n) => Number.isSafeInteger(n) && n >= 0);
if (args.help || !complete) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

const started = new Date();
const begun = performance.now();
const say = (text) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${text}`);
const config = join(args.dir, 'relayer.toml');
const world = JSON.parse(readFileSync(join(args.dir, 'world.json')));
const jobs = world.plans.length;
const failures = [];
const figures = { kills: 0, jobs, settled_twice: UNKNOWN, lost: UNKNOWN, digests_equal: false, ledger_difference: UNKNOWN, seed };

const victim = new Victim({ command: args.relayer, args: ['run', '--config', config], log: join(args.dir, 'relayer.log'), health: `${args.api}/healthz` });
victim.start();
let work = null;
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    console.error(`${TARGET}: stopping, by ${signal}`);
    stopped = true;
    work?.stop();
  });
}
try {
  await underKills();
} catch (error) {
  failures.push(error.message);
} finally {
  await work?.stop();
  const disorder = await victim.stop();
  if (disorder) failures.push(`the last stop of the relayer: ${disorder}`);
}
// A stopped run says nothing about the relayer: no report, only an end.
if (stopped) process.exit(130);
try {
  await count();
} catch (error) {
  failures.push(`could not count: ${error.message}`);
}
const result = report({ target: TARGET, started, figures, failures: [...failures, ...judge()] });
const file = write(result);
console.log(`\n${table(result)}\n\n  ${file}\n  seed ${seed}: SEED=${seed} make ${TARGET} draws the same moments`);
process.exit(result.holds ? 0 : 1);

async function underKills() {
  if (!(await victim.untilServing(() => stopped))) return;
  say(`the relayer serves; seed ${seed}, ${jobs} jobs, ${kills} kills`);
  const run = ['run', '--json', '--out', args.dir, '--relayer', args.api, '--acurast', args.acurast, '--anvil', args.anvil];
  work = new Work({
    command: process.execPath, args: [here('../devnet/workload.mjs'), ...run, '--answer-limit-s', String(limitS), '--close-limit-s', String(limitS)],
    waves: Math.ceil(jobs / waveOf(world)),
    told: ({ step, wave, status }) => { if (step === 'executed' || !wave) say([step, wave && `wave ${wave}`, status, `${victim.kills} kills`].filter(Boolean).join(' · ')); },
  });
  const late = setTimeout(() => { failures.push(`the workload did not end within ${limitS} s`); work.stop(); }, limitS * 1_000 - (performance.now() - begun));
  try {
    figures.kills_in_recovery = await keepKilling({
      victim, moments: new Moments(seed), kills, progress: () => work.progress, over: () => work.over,
    });
    say(`${victim.kills} kills done`);
    await victim.untilServing(() => work.over);
    await work.done;
  } finally {
    clearTimeout(late);
  }
  if (work.ended.failure) failures.push(`the workload ${work.ended.failure}`);
}

async function count() {
  figures.kills = victim.kills;
  const journal = await journalOf({ relayer: args.relayer, config, dir: args.dir });
  const seen = await observed({ dir: args.dir, anvil: args.anvil, journal });
  failures.push(...seen.failures);
  Object.assign(figures, figuresOf({ victim, seen, jobs }));
  const fault = await replayFault({ relayer: args.relayer, config });
  figures.digests_equal = fault === null;
  if (fault) failures.push(fault);
}

/** What must be so beyond what the observer says. */
function judge() {
  const wrong = victim.ownExits.map((text) => `the relayer ${text}`);
  if (figures.kills < kills) wrong.push(`${figures.kills} of ${kills} kills were done before the work ended; raise JOBS or lower KILLS`);
  for (const [name, least] of Object.entries(LEAST)) if (figures[name] < least) wrong.push(`${figures[name]} ${name} are fewer than the ${least} that this target claims`);
  for (const name of ['settled_twice', 'lost', 'ledger_difference']) {
    if (figures[name] !== 0) wrong.push(`${name} is ${figures[name] === UNKNOWN ? 'unknown' : figures[name]}`);
  }
  return wrong;
}
