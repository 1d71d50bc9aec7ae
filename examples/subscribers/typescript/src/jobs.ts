#!/usr/bin/env node
// Folds jobs.v1, an authoritative topic, into a file: the state of every job, by the records that count.
//
// The rule of acceptance.ts says which do. A record holds all that one input caused, so its events are applied together or not at
// all. What was applied and the frontier after it are stored by one write; a restart goes on from there.
import { Halt, Partition, type Frontier, type Rec } from './acceptance.js';
import { Ledger } from './ledger.js';
import { Lost, read } from './log.js';
import { options } from './options.js';
import { hex, load, plain, type Plain } from './schemas.js';

interface Decision { partition: number; sequence: string; subject: string; events: string[]; ended: { outcome: string; executions: number }[] }
/** What one batch gave: frontiers by partition, and the decisions that were accepted. */
interface Line { frontiers: Record<string, Frontier>; decisions: Decision[] }

const USAGE = `jobs.js follow --brokers HOST:PORT,… --state FILE [--topic acurast.jobs.v1] [--until-end]
jobs.js show --state FILE`;
/** What a job's events say of its life cycle on Acurast, and its end here. */
const STATES: Record<string, string> = { job_opened: 'OPEN', job_matched: 'MATCHED', job_assigned: 'ASSIGNED', job_removed: 'REMOVED', job_done: 'DONE', job_closed: 'CLOSED' };

const args = options(USAGE, 'acurast.jobs.v1');
const ledger = new Ledger<Line>(args.state);
const [entry, eventType] = [load('jobs', 'Entry'), load('jobs', 'JobsEvent')];
const frontiers: Record<string, Frontier> = {};
const jobs = new Map<string, string>();
const outcomes = new Map<string, Record<string, number>>();
const times: Record<string, number> = {};

/** The fold: a line applied to what is known. */
function apply({ frontiers: after, decisions }: Line): void {
  for (const { subject, events, ended } of decisions) {
    for (const name of events) {
      times[name] = (times[name] ?? 0) + 1;
      const state = STATES[name];
      if (state) jobs.set(subject, state);
    }
    const of = outcomes.get(subject) ?? {};
    for (const { outcome, executions } of ended) of[outcome] = (of[outcome] ?? 0) + executions;
    if (ended.length > 0) outcomes.set(subject, of);
  }
  Object.assign(frontiers, after);
}

/** What a record says. */
function decisionOf(partition: number, { sequence, subject, events }: Rec): Decision {
  const decision: Decision = { partition, sequence: String(sequence), subject: hex(subject), events: [], ended: [] };
  for (const event of events.map((message) => plain(eventType, message))) {
    // Leaving an event out would fold another state than newer readers do.
    if (event.event === undefined) throw new Halt(`record ${decision.sequence} has an event that these schemas don't know: update them`);
    decision.events.push(event.event);
    if (event.event === 'execution_ended') {
      const { outcome, executions } = event[event.event] as Plain & { outcome: string; executions: string };
      decision.ended.push({ outcome, executions: Number(executions) });
    }
  }
  return decision;
}

async function follow(): Promise<void> {
  const partitions = new Map<number, Partition>();
  const partitionOf = (number: number): Partition => {
    const partition = partitions.get(number) ?? new Partition(entry, args.topic, number, frontiers[number]);
    partitions.set(number, partition);
    return partition;
  };
  for await (const batch of read({ ...args, name: 'acurast-example-jobs', start: (partition) => partitionOf(partition).start })) {
    const line: Line = { frontiers: {}, decisions: [] };
    let halt: unknown;
    for (const { partition: number, offset, value } of batch) {
      const partition = partitionOf(number);
      try {
        const record = partition.take(offset, value ?? new Uint8Array());
        if (record === undefined) continue;
        line.decisions.push(decisionOf(number, record));
        line.frontiers[number] = partition.frontier;
      } catch (error) {
        halt = error; // what came before it counts
        break;
      }
    }
    if (line.decisions.length > 0) ledger.append(line);
    apply(line);
    for (const { ended: _, ...decision } of line.decisions) console.log(JSON.stringify(decision));
    if (halt !== undefined) throw halt;
  }
}

function show(): void {
  const partitions = Object.fromEntries(Object.entries(frontiers).map(([number, { term, sequence, head, skipped }]) => [number, { term, next_sequence: sequence, head, skipped }]));
  console.log(JSON.stringify({ partitions, jobs: Object.fromEntries([...jobs].sort()), outcomes: Object.fromEntries([...outcomes].sort()), events: times }));
}

ledger.lines().forEach(apply);
try {
  if (args.command === 'follow') await follow();
  else show();
} catch (error) {
  if (!(error instanceof Halt || error instanceof Lost)) throw error;
  console.error(`halted: ${error.message}`);
  process.exitCode = 1;
} finally {
  ledger.close();
}
