// Job tables of two runs of one demo, and how they differ: what the relayer says of each job, and what the journal's second reader
// says of it. Every field is either compared or named here with the reason why two runs needn't have it equal; a field that is in
// neither list is a difference, so that a new one gets its place.

const TIME = 'blocks come by the clock of each run';
const SHARED = 'which items share a transaction depends on when they arrive, and with it hashes, batches and gas shares';
const AGAIN = 'an item that waits or is planned again reserves anew';

/** A settlement's fields. Its stage is compared where an output was delivered: a cancelled assignment's root may be posted or not. */
const SETTLEMENT = {
  settlement_id: true, reason: true,
  stage: 'final where an output was delivered, which the outcome says; whether a cancelled one was posted before depends on the moment', waits: AGAIN, needs: AGAIN, reserved: AGAIN,
  tx: SHARED, block: TIME, batch: SHARED, late_root: TIME, charge: SHARED, root_share: SHARED, cost: SHARED,
};
const EXECUTION = {
  execution: true, payload_hash: true, equivocations: true, outcome: true, fault: true, reported: { outcome: true, block: TIME },
  fulfillment: SETTLEMENT, executions: 'a run of missed or cancelled ones is counted one by one', latency: TIME, detail: 'words for people',
};
const ASSIGNMENT = {
  processor: true, slot: true, only: true, assignment_id: true, lane: true, executions: true, ended: true, root: SETTLEMENT, known: [EXECUTION],
  acknowledged: TIME, not_after: TIME,
};
const ACCOUNT = {
  escrow_id: true, asset: true, locked: true, reserved: true, refunded: true, closing: true,
  free: SHARED, spent: SHARED,
};
/** What of a job of `job list --json` is compared: `true`, a shape, or the reason why it isn't. */
export const JOB = {
  job: true, job_key: true, state: true, opened_by: true, closed: true, rule: true, chain: true, escrow_id: true, tracked_because: true,
  assignments: [ASSIGNMENT], reserved: true, waits: true, escrow: ACCOUNT,
  opened: TIME, matched: TIME, assigned: TIME, done: TIME, removed: TIME,
  reserved_ever: AGAIN, spent: SHARED, cost: SHARED, margin_gain: SHARED, margin_loss: SHARED,
};
/** Whether each of these states was reached is compared; when isn't. */
const STATES = ['opened', 'matched', 'assigned', 'done', 'removed'];

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/** The compared part of a value, by its shape; `unknown` gets the path of every field that the shape doesn't name. */
function compared(shape, value, path, unknown) {
  if (value === null || value === undefined) return null;
  if (shape === true) return value;
  if (Array.isArray(shape)) return value.map((item) => compared(shape[0], item, `${path}[]`, unknown));
  if (!isObject(shape)) return undefined; // a reason
  for (const name of Object.keys(value)) if (!(name in shape)) unknown.add(`${path}${path && '.'}${name}`);
  const fields = Object.entries(shape).map(([name, of]) => [name, compared(of, value[name], `${path}${path && '.'}${name}`, unknown)]);
  return Object.fromEntries(fields.filter(([name]) => typeof shape[name] !== 'string'));
}

/** Runs of executions that ended alike, one by one. */
const singly = (known) => known.flatMap(({ executions, ...of }) => Array.from({ length: Number(executions ?? 1) }, (_, i) => ({ ...of, execution: String(Number(of.execution) + i) })));

const order = (...of) => (a, b) => of.map((name) => String(a[name]).localeCompare(String(b[name]), 'en', { numeric: true })).find((sign) => sign !== 0) ?? 0;

/** One job as it is compared, from `job list --json`. */
export function rowOf(job, unknown = new Set()) {
  const expanded = { ...job, assignments: (job.assignments ?? []).map((assignment) => ({ ...assignment, known: singly(assignment.known ?? []) })) };
  const row = compared(JOB, expanded, '', unknown);
  row.assignments.sort(order('processor', 'only'));
  row.assignments.forEach(({ known }) => known.sort(order('execution')));
  return { ...row, reached: STATES.filter((state) => job[state]) };
}

/** Why fields aren't compared: reason → their paths. */
export function reasons(shape = JOB, path = '', found = new Map()) {
  for (const [name, of] of Object.entries(Array.isArray(shape) ? shape[0] : shape)) {
    const place = `${path}${name}`;
    if (typeof of === 'string') found.set(of, [...found.get(of) ?? [], place]);
    else if (of !== true) reasons(of, `${place}.`, found);
  }
  return found;
}

const LIFE_CYCLE = { job_opened: 'OPEN', job_matched: 'MATCHED', job_assigned: 'ASSIGNED', job_removed: 'REMOVED', job_done: 'DONE', job_closed: 'CLOSED' };

/** How the subject of a job's records begins, before its key: the letter j. */
const OF_A_JOB = '0x6a';

/** What the journal says of each job, folded from accepted records and published events alone. */
export class Told {
  /** job_key → { states, outcomes: { assignment: { execution: outcome } }, receipts, job_receipts, reputation } */
  jobs = new Map();
  accounts = new Map();
  deadLetters = 0;
  #ids = new Set();

  #job(key) {
    const job = this.jobs.get(key) ?? { states: [], outcomes: {}, receipts: {}, job_receipts: 0, reputation: {} };
    this.jobs.set(key, job);
    return job;
  }

  /** Takes an accepted record as `readJournal` gives it. */
  visit({ family, subject, events }) {
    if (family !== 'jobs') return;
    const key = `0x${subject.slice(OF_A_JOB.length)}`;
    for (const event of events) {
      const state = subject.startsWith(OF_A_JOB) ? LIFE_CYCLE[event.event] : undefined;
      if (state && !this.#job(key).states.includes(state)) this.#job(key).states.push(state);
      if (event.event === 'execution_ended') this.#ended(key, event.execution_ended);
      if (event.event === 'posted') this.#posted(event.posted);
    }
  }

  #ended(key, { assignment_id: assignment, execution = '0', executions = '1', outcome, fault }) {
    const ended = (this.#job(key).outcomes[assignment] ??= {});
    for (let i = 0n; i < BigInt(executions); i++) ended[(BigInt(execution) + i).toString()] = `${outcome} ${fault}`;
  }

  #posted({ entries = [] }) {
    for (const { debit, credit, amount } of entries) {
      const [into, back] = ['LEDGER_ACCOUNT_KIND_CONSUMER' === credit.kind, 'LEDGER_ACCOUNT_KIND_CONSUMER' === debit.kind];
      if (!into && !back) continue;
      const id = debit.escrow_id ?? credit.escrow_id;
      const account = this.accounts.get(id) ?? { locked: 0n, refunded: 0n };
      this.accounts.set(id, account);
      account[into ? 'locked' : 'refunded'] += BigInt(amount ?? 0);
    }
  }

  /** Takes an event of a derived topic; one whose id was there is dropped. */
  derived({ event, ...of }) {
    const value = event ? of[event] : of;
    if (this.#ids.has(value.id)) return;
    this.#ids.add(value.id);
    const count = (counts, { outcome, fault, executions = '1' }) => { counts[`${outcome} ${fault}`] = (counts[`${outcome} ${fault}`] ?? 0) + Number(executions); };
    if (event === 'receipt') count(this.#job(value.job_key).receipts, value);
    else if (event === 'job_receipt') this.#job(value.job_key).job_receipts += 1;
    else if (event === undefined && value.job_key) count(this.#job(value.job_key).reputation, value);
    else this.deadLetters += 1;
  }

  /** The job as it is compared; states sorted by name, since MATCHED may come before OPEN. */
  row(key) {
    const { states, ...of } = this.jobs.get(key) ?? { states: [] };
    return { ...of, states: [...states].sort() };
  }
}

/** The paths at which two values differ, with both. */
export function differences(one, other, path = '') {
  if (isObject(one) && isObject(other)) {
    return [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((name) => differences(one[name], other[name], `${path}${path && '.'}${name}`));
  }
  if (Array.isArray(one) && Array.isArray(other) && one.length === other.length) return one.flatMap((item, i) => differences(item, other[i], `${path}[${i}]`));
  const [a, b] = [one, other].map((value) => JSON.stringify(value) ?? 'nothing');
  return a === b ? [] : [`${path}: ${a} and ${b}`];
}
