// What the relayer's journal says became of every execution and every unit of money, folded from its published events alone. It is
// compared with what the chain says (lib/effects.mjs) and with what the manifest planned: three stories that must be one.
import { keccak } from '../protocol.mjs';

const kind = (name) => `LEDGER_ACCOUNT_KIND_${name}`;
/** Accounts of the ledger that can't hold less than nothing; the others are outside worlds or the margin. */
const NEVER_NEGATIVE = ['LOCKED', 'RESERVED', 'SPENT'].map(kind);
/** The outcome that the manifest expects, as the journal names it. */
const OUTCOMES = {
  fulfilled: 'OUTCOME_FULFILLED', refused: 'OUTCOME_FAILED', reported_failure: 'OUTCOME_REPORTED_FAILURE', missed: 'OUTCOME_MISSED', cancelled: 'OUTCOME_CANCELLED',
};
const DETAILS_MAX = 20;

const distance = (a, b) => (a > b ? a - b : b - a);
/** A number where it is exact, else its decimal digits. */
export const exact = (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString());

/** The fold. `visit` takes each accepted record as `readJournal` gives it. */
export class Books {
  /** escrow id → { locked, charged, refunded } ever, and what each kind of ledger account holds now, in wei. */
  accounts = new Map();
  signer = { cost: 0n, margin: 0n };
  /** transaction hash → what the lane says it cost, of every final slot that was ours. */
  slots = new Map();
  /** assignment id → runs of executions with their outcome. */
  ended = new Map();
  closed = new Set();
  alarms = 0;
  failures = [];

  visit({ family, events }) {
    for (const event of events) {
      if (family === 'lanes' && event.slot_final) this.#slot(event.slot_final);
      if (family !== 'jobs') continue;
      if (event.posted) this.#posted(event.posted);
      if (event.execution_ended) this.#ended(event.execution_ended);
      if (event.job_closed) this.closed.add(event.job_closed.job);
      if (event.ledger_differs) this.alarms += 1;
    }
  }

  #slot({ tx, cost, outcome }) {
    if (outcome !== 'SLOT_OUTCOME_FOREIGN') this.slots.set(tx, BigInt(cost ?? 0));
  }

  #ended({ assignment_id: assignment, execution = '0', executions = '1', outcome }) {
    const runs = this.ended.get(assignment) ?? [];
    runs.push({ first: BigInt(execution), count: BigInt(executions), outcome });
    this.ended.set(assignment, runs);
  }

  #posted({ reason, entries = [] }) {
    for (const { book, debit, credit, amount } of entries) {
      const value = BigInt(amount ?? 0);
      if (book === 'BOOK_SIGNER') this.#signer(debit.kind, credit.kind, value);
      else if (debit.escrow_id === undefined || debit.escrow_id !== credit.escrow_id) this.failures.push(`a posting for ${reason} moves ${value} wei between accounts ${debit.escrow_id} and ${credit.escrow_id}`);
      else this.#escrow(debit.escrow_id, debit.kind, credit.kind, value);
    }
  }

  #signer(debit, credit, value) {
    if (debit === kind('SIGNER_COST')) this.signer.cost += value;
    if (debit === kind('MARGIN')) this.signer.margin += value;
    if (credit === kind('MARGIN')) this.signer.margin -= value;
  }

  #escrow(id, debit, credit, value) {
    const account = this.accounts.get(id) ?? { locked: 0n, charged: 0n, refunded: 0n, held: new Map() };
    this.accounts.set(id, account);
    if (credit === kind('CONSUMER')) account.locked += value;
    if (debit === kind('SPENT')) account.charged += value;
    if (debit === kind('CONSUMER')) account.refunded += value;
    const holds = (name) => account.held.get(name) ?? 0n;
    account.held.set(debit, holds(debit) + value);
    account.held.set(credit, holds(credit) - value);
    if (NEVER_NEGATIVE.includes(credit) && holds(credit) < 0n) this.failures.push(`account ${id}: ${credit} is overdrawn by ${-holds(credit)} wei`);
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0n);

/**
 * Holds the ledger against the chain. `accounts` maps escrow ids to { locked, charged, refunded } by the contract's events,
 * `paid` transaction hashes of the relayer's key to what each cost; all in wei.
 */
export function compareMoney(books, { accounts, paid }) {
  const failures = [...books.failures];
  let difference = 0n;
  for (const id of new Set([...accounts.keys(), ...books.accounts.keys()])) {
    const nothing = { locked: 0n, charged: 0n, refunded: 0n };
    const [chain, ledger] = [accounts.get(id) ?? nothing, books.accounts.get(id) ?? nothing];
    for (const of of Object.keys(nothing)) {
      if (chain[of] === ledger[of]) continue;
      difference += distance(chain[of], ledger[of]);
      failures.push(`account ${id}: the chain says ${of} ${chain[of]} wei, the ledger ${ledger[of]}`);
    }
  }
  const reserved = sum([...books.accounts.values()].map(({ held }) => held.get(kind('RESERVED')) ?? 0n));
  if (reserved !== 0n) failures.push(`${reserved} wei are still reserved in the ledger, though nothing is open`);

  let signer = 0n;
  for (const [tx, cost] of books.slots) {
    if (paid.get(tx) === cost) continue;
    signer += distance(cost, paid.get(tx) ?? 0n);
    failures.push(`transaction ${tx}: the lane says that it cost ${cost} wei, the chain ${paid.get(tx) ?? 'does not know it'}`);
  }
  const slots = sum([...books.slots.values()]);
  if (books.signer.cost !== slots) failures.push(`the signer book has ${books.signer.cost} wei of cost, final slots cost ${slots}`);
  signer += distance(books.signer.cost, slots);
  const spent = sum([...books.accounts.values()].map(({ charged }) => charged));
  const margin = spent - books.signer.cost;
  if (books.signer.margin !== margin) failures.push(`the margin account holds ${books.signer.margin} wei, charges less costs are ${margin}`);
  signer += distance(books.signer.margin, margin);
  if (books.alarms > 0) failures.push(`the relayer itself raised ${books.alarms} alarm(s) that its ledger and the contract differ`);
  return {
    figures: {
      ledger_difference: exact(difference), signer_difference: exact(signer), ledger_alarms: books.alarms, reserved_wei: reserved.toString(),
      locked_wei: sum([...books.accounts.values()].map(({ locked }) => locked)).toString(), spent_wei: spent.toString(),
      refunded_wei: sum([...books.accounts.values()].map(({ refunded }) => refunded)).toString(),
      cost_wei: books.signer.cost.toString(), margin_wei: books.signer.margin.toString(),
    },
    failures,
  };
}

/** Holds the outcomes against the manifest: every execution of every assignment has exactly one, the planned one, and every job is closed. */
export function compareOutcomes(books, manifest) {
  const figures = { jobs: manifest.jobs.length, closed: 0, ...Object.fromEntries(Object.keys(OUTCOMES).map((name) => [name, 0])), without_outcome: 0, ended_twice: 0, contradicting: 0 };
  const failures = [];
  const closed = new Set([...books.closed].map((job) => keccak(manifest.acurast.genesis, job)));
  for (const job of manifest.jobs) {
    if (closed.has(job.job_key)) figures.closed += 1;
    else failures.push(`job ${job.index} (${job.kind}) isn't closed`);
    for (const { slot, assignments } of job.slots) {
      for (const { assignment_id: id, executions } of assignments) {
        for (const { execution, expected } of executions) {
          const name = `job ${job.index} (${job.kind}) slot ${slot} execution ${execution}`;
          const found = (books.ended.get(id) ?? []).filter(({ first, count }) => first <= BigInt(execution) && BigInt(execution) < first + count);
          if (found.length === 0) { figures.without_outcome += 1; failures.push(`${name} has no outcome`); }
          if (found.length > 1) { figures.ended_twice += 1; failures.push(`${name} has ${found.length} outcomes`); }
          for (const [outcome, label] of Object.entries(OUTCOMES)) if (found[0]?.outcome === label) figures[outcome] += 1;
          if (found.length === 1 && found[0].outcome !== OUTCOMES[expected]) {
            figures.contradicting += 1;
            failures.push(`${name} was to be ${expected} and is ${found[0].outcome}`);
          }
        }
      }
    }
  }
  const rest = failures.length - DETAILS_MAX;
  return { figures, failures: rest > 0 ? [...failures.slice(0, DETAILS_MAX), `and ${rest} more`] : failures };
}
