// What a run came to, as told by others than the relayer's own process: effects and money on the chain, records, outcomes and ledger by
// a second reader of the journal, digests by a replay into an empty state.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const OBSERVER = fileURLToPath(new URL('../devnet/observer.mjs', import.meta.url));

/** Runs a command to its end; `{ code, out, error }`. Its output goes to `into` when that is given. */
export async function run(command, argv, into = null, env = process.env) {
  const child = spawn(command, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, error] = [[], []];
  child.stderr.on('data', (data) => error.push(data));
  const ended = new Promise((resolve, reject) => { child.once('error', reject); child.once('close', resolve); });
  if (into) await pipeline(child.stdout, createWriteStream(into));
  else child.stdout.on('data', (data) => out.push(data));
  const code = await ended;
  return { code, out: Buffer.concat(out).toString(), error: Buffer.concat(error).toString().trim() };
}

/** Writes all entries of the journal, raw, to DIR/journal.ndjson; returns that path. The relayer must be stopped. */
export async function journalOf({ relayer, config, dir }) {
  const file = join(dir, 'journal.ndjson');
  const { code, error } = await run(relayer, ['journal', 'tail', '--raw', '--config', config], file);
  if (code !== 0) throw new Error(`journal tail ended with ${code}: ${error}`);
  return file;
}

/** The observer's word on the manifest in DIR, the chain at `anvil` and the journal. Fails when it could not see them. */
export async function observed({ dir, anvil, journal }) {
  const { out, error } = await run(process.execPath, [OBSERVER, '--manifest', join(dir, 'manifest.json'), '--journal', journal, '--anvil', anvil]);
  if (!out) throw new Error(`the observer ended without a word: ${error}`);
  const seen = JSON.parse(out);
  if (!seen.chain || !seen.outcomes || !seen.ledger) throw new Error(`the observer could not see chain and journal: ${seen.failures.join('; ')}`);
  return seen;
}

/** A replay of the journal into an empty state: `{ partitions, fault }`, one of the former per partition; the latter null when all digests are those of the journal's state, or why not. */
export async function replay({ relayer, config }) {
  const { code, out, error } = await run(relayer, ['replay', '--json', '--config', config]);
  const lines = out.trim().split('\n');
  const last = lines.pop();
  if (code === 0 && JSON.parse(last).digests_equal === true) return { partitions: lines.map((line) => JSON.parse(line)), fault: null };
  return { partitions: [], fault: `replay ended with ${code}: ${error || last}` };
}

/** Whether that replay gives the same digests; null, or why not. */
export const replayFault = async (of) => (await replay(of)).fault;

/**
 * What is wrong with the replays of several replicas, by name: each must have the same partitions, at the same record, with one digest.
 * `[name, { partitions, fault }]` of each.
 */
export function digestFaults(replays) {
  const faults = replays.filter(([, { fault }]) => fault).map(([name, { fault }]) => `${name}: ${fault}`);
  if (faults.length > 0) return faults;
  const [[firstName, first], ...rest] = replays.map(([name, { partitions }]) => [name, new Map(partitions.map((of) => [of.partition, `${of.stored} at record ${of.records}`]))]);
  if (first.size === 0) return [`${firstName} has no partition`];
  for (const [name, found] of rest) {
    for (const partition of new Set([...first.keys(), ...found.keys()])) {
      const [one, other] = [first.get(partition) ?? 'nothing', found.get(partition) ?? 'nothing'];
      if (one !== other) faults.push(`${partition}: ${firstName} has ${one}, ${name} ${other}`);
    }
  }
  return faults;
}

/** The figures that every run under kills has: how the process fared, and what the observer counted of chain, outcomes and money. */
export function figuresOf({ victim, seen, jobs }) {
  const { chain, outcomes, ledger, journal } = seen;
  return {
    kills: victim.kills, own_exits: victim.ownExits.length, starts: victim.startsMs.length, slowest_start_ms: Math.max(0, ...victim.startsMs),
    executions_settled: chain.settled, settled_twice: chain.settled_twice, unexpected: chain.unexpected,
    // Not settled on the chain, or without outcome in the journal; mostly the same executions, so the greater of the two.
    lost: Math.max(chain.lost, outcomes.without_outcome), jobs_not_closed: jobs - outcomes.closed,
    ended_twice: outcomes.ended_twice, contradicting: chain.contradicting + outcomes.contradicting,
    ledger_difference: ledger.ledger_difference, signer_difference: ledger.signer_difference,
    transactions: chain.relayer_transactions, reverted: chain.relayer_reverted, spent_wei: ledger.spent_wei, margin_wei: ledger.margin_wei,
    records: journal.figures.accepted, records_skipped: journal.figures.skipped, claims: journal.figures.claims,
  };
}
