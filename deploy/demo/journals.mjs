#!/usr/bin/env node
// demo-journals.json: whether the job tables of one demo are equal, kept once by the embedded journal and once by Kafka.
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import protobuf from '../devnet/node_modules/protobufjs/index.js';

import { eventTypes, familyOf, readJournal, withHex } from '../devnet/lib/journal.mjs';
import { bytes } from '../devnet/protocol.mjs';
import { report, table, write } from './report.mjs';
import { Told, differences, reasons, rowOf } from './tables.mjs';

const USAGE = 'journals.mjs --dir DIR --started MS --seed N   reads DIR/{embedded,kafka}/{manifest.json,jobs.json,journal.ndjson} and DIR/reports-{embedded,kafka}/demo.json, writes demo-journals.json';
const KINDS = ['embedded', 'kafka'];
const PROTO = fileURLToPath(new URL('../../events/proto', import.meta.url));
const DIFFERENCES_SHOWN = 4;

const { values: args } = parseArgs({ options: { dir: { type: 'string' }, started: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } } });
if (args.help || !args.dir || !args.started || !args.seed) {
  (args.help ? console.log : console.error)(USAGE);
  process.exit(args.help ? 0 : 2);
}

const { root } = protobuf.parse(readFileSync(join(PROTO, 'derived.proto'), 'utf8'), { keepCase: true });
const DERIVED = { receipts: 'ReceiptsEvent', reputation: 'ReputationObserved', 'dead-letters': 'DeadLetter' };
const plain = (type, value) => withHex(type.toObject(type.decode(bytes(value)), { longs: String, enums: String, oneofs: true }));

/** What one run left behind. */
async function read(kind) {
  const file = (name) => join(args.dir, kind, name);
  const json = (name) => JSON.parse(readFileSync(file(name)));
  const told = new Told();
  async function* lines() {
    for await (const line of createInterface({ input: createReadStream(file('journal.ndjson')), crlfDelay: Infinity })) {
      if (line.trim() === '') continue;
      const { topic, value } = JSON.parse(line);
      const name = DERIVED[familyOf(topic)];
      if (name) told.derived(plain(root.lookupType(`acurast.derived.v1.${name}`), value));
      yield line;
    }
  }
  const { figures, failures } = await readJournal(lines(), { types: eventTypes(PROTO), visit: (record) => told.visit(record) });
  const demo = JSON.parse(readFileSync(join(args.dir, `reports-${kind}/demo.json`)));
  return {
    kind, told, figures, seconds: demo.seconds,
    failures: [...failures, ...demo.holds ? [] : [`its demo doesn't hold: ${demo.failures[0]}`]].map((text) => `${kind}: ${text}`),
    planned: new Map(json('manifest.json').jobs.map((job) => [job.job_key, job])), jobs: new Map(json('jobs.json').map((job) => [job.job_key, job])),
  };
}

/** What is shown of a job: its path, states, outcomes and counts as the journal tells them. */
function shown(key, run, equal) {
  const { states, outcomes = {}, receipts = {}, reputation = {} } = run.told.row(key);
  const counts = {};
  for (const ended of Object.values(outcomes)) for (const outcome of Object.values(ended)) counts[outcome.split(' ')[0].replace('OUTCOME_', '').toLowerCase()] = (counts[outcome.split(' ')[0].replace('OUTCOME_', '').toLowerCase()] ?? 0) + 1;
  const sum = (of) => Object.values(of).reduce((a, b) => a + b, 0);
  const name = run.jobs.get(key)?.job.replace(/:0x(.{4}).*\//, ':$1…/') ?? key.slice(0, 10);
  return [name, run.planned.get(key)?.kind ?? '', states.join(' '), Object.entries(counts).map(([outcome, n]) => `${n} ${outcome}`).join(', ') || '–', sum(receipts), sum(reputation), equal ? 'equal' : 'DIFFERS'];
}

function print(rows) {
  const all = [['job', 'path', 'states reached', 'executions', 'receipts', 'reputation', 'both journals'], ...rows];
  const widths = all[0].map((_, i) => Math.max(...all.map((row) => String(row[i]).length)));
  console.log(`\n${all.map((row) => row.map((cell, i) => String(cell).padEnd(widths[i])).join('  ').trimEnd()).join('\n')}`);
}

function explain() {
  console.log(`
compared, job by job: ids, owner's origin, path, states reached, destination and account; processor, slot, lane and settlement ids of every
assignment; payload, report, outcome and fault of every execution; receipts and reputation events by outcome. By account: locked and
refunded, to the wei. Twice: as the relayer's table says, and as a second reader folds it from the journal.
not compared, because two runs of one demo needn't have it equal:`);
  for (const [reason, fields] of reasons()) console.log(`  ${[...new Set(fields)].join(', ')}\n    ${reason}`);
}

const failures = [];
const figures = { jobs: 0, jobs_differing: 0, executions: 0, receipts: 0, reputation: 0, accounts: 0, accounts_differing: 0 };
try {
  const [one, other] = await Promise.all(KINDS.map(read));
  failures.push(...one.failures, ...other.failures);
  const keys = [...new Set([one, other].flatMap(({ planned, jobs, told }) => [...planned.keys(), ...jobs.keys(), ...told.jobs.keys()]))];
  const unknown = new Set();
  const rows = [];
  for (const key of keys) {
    const differing = [];
    if (one.planned.get(key)?.kind !== other.planned.get(key)?.kind) differing.push(`path: ${one.planned.get(key)?.kind} and ${other.planned.get(key)?.kind}`);
    const [a, b] = [one, other].map(({ jobs }) => (jobs.has(key) ? rowOf(jobs.get(key), unknown) : null));
    differing.push(...differences(a, b).map((text) => `table ${text}`), ...differences(one.told.row(key), other.told.row(key)).map((text) => `journal ${text}`));
    const row = shown(key, one, differing.length === 0);
    rows.push(row);
    figures.jobs += 1;
    figures.executions += Object.values(one.told.row(key).outcomes ?? {}).reduce((sum, ended) => sum + Object.keys(ended).length, 0);
    figures.receipts += row[4];
    figures.reputation += row[5];
    if (differing.length > 0) figures.jobs_differing += 1;
    failures.push(...differing.slice(0, DIFFERENCES_SHOWN).map((text) => `job ${row[0]} (${row[1]}): ${text}`));
  }
  for (const field of unknown) failures.push(`the job table has a field ${field}, and deploy/demo/tables.mjs doesn't say whether two runs must have it equal`);
  for (const id of new Set([...one.told.accounts.keys(), ...other.told.accounts.keys()])) {
    figures.accounts += 1;
    const text = ({ told }) => JSON.stringify(Object.fromEntries(Object.entries(told.accounts.get(id) ?? {}).map(([name, wei]) => [name, wei.toString()])));
    if (text(one) === text(other)) continue;
    figures.accounts_differing += 1;
    failures.push(`account ${id}: ${text(one)} and ${text(other)}`);
  }
  if (one.told.deadLetters !== other.told.deadLetters) failures.push(`${one.told.deadLetters} and ${other.told.deadLetters} dead letters`);
  Object.assign(figures, Object.fromEntries([one, other].flatMap((run) => [[`${run.kind}_records`, run.figures.accepted], [`${run.kind}_seconds`, run.seconds]])));
  if (figures.jobs === 0 || figures.executions === 0) failures.push('nothing was compared');
  print(rows);
} catch (error) {
  failures.push(`could not compare: ${error.stack}`);
}
explain();
const done = report({ target: 'demo-journals', started: new Date(Number(args.started)), figures: { ...figures, seed: Number(args.seed) }, failures });
const file = write(done);
console.log(`\n${table(done)}\n${file}`);
process.exitCode = done.holds ? 0 : 1;
