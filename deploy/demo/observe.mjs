#!/usr/bin/env node
// demo.json: what the observer counted of a finished demo, from the chain and by the journal's second reader.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { report, table, write } from './report.mjs';

const USAGE = 'observe.mjs --dir DIR --source runtime|recording --kept embedded|kafka --started MS --seed N   reads DIR/manifest.json and DIR/journal.ndjson, writes demo.json';
const JOBS_MIN = 20;
const OBSERVER = fileURLToPath(new URL('../devnet/observer.mjs', import.meta.url));

const { values: args } = parseArgs({ options: {
  dir: { type: 'string' }, source: { type: 'string' }, kept: { type: 'string', default: 'embedded' }, started: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false },
} });
if (args.help || !args.dir || !args.source || !args.started || !args.seed) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

function observed() {
  const of = (name) => join(args.dir, name);
  try {
    return JSON.parse(execFileSync('node', [OBSERVER, '--manifest', of('manifest.json'), '--journal', of('journal.ndjson')], { encoding: 'utf8', maxBuffer: 1 << 28 }));
  } catch (error) {
    if (error.stdout) return JSON.parse(error.stdout); // exit code 1: it holds not, and says why
    throw error;
  }
}

const { chain, outcomes, ledger, journal, failures } = observed();
const figures = {
  jobs: outcomes?.jobs ?? 0, succeeded: outcomes?.fulfilled ?? 0, failed: (outcomes?.reported_failure ?? 0) + (outcomes?.refused ?? 0),
  missed: outcomes?.missed ?? 0, cancelled: outcomes?.cancelled ?? 0,
  settled_twice: chain?.settled_twice ?? -1, lost: chain?.lost ?? -1, ledger_difference: ledger?.ledger_difference ?? -1,
  charged_wei: chain?.charged_wei ?? '', relayer_cost_wei: chain?.relayer_cost_wei ?? '', transactions: chain?.relayer_transactions ?? 0,
  records: journal?.figures?.accepted ?? 0, records_skipped: journal?.figures?.skipped ?? 0, seed: Number(args.seed), source: args.source, journal: args.kept,
};
if (figures.jobs < JOBS_MIN) failures.push(`${figures.jobs} jobs are fewer than ${JOBS_MIN}`);
const done = report({ target: 'demo', started: new Date(Number(args.started)), figures, failures });
const file = write(done);
console.log(`\n${table(done)}\n${file}`);
process.exitCode = done.holds ? 0 : 1;
