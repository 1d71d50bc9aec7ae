// Takes the jobs of one wave through their lives on the Acurast chain, side by side on one schedule.
//
// Time jumps only when nothing in the running window is left to be submitted, answered or reported.
import { u8aToHex } from '@polkadot/util';
import { base58Encode, blake2AsU8a } from '@polkadot/util-crypto';

import { ALL_EXECUTIONS, assignmentId, destId, jobKey, settlementId } from '../protocol.mjs';
import { publicKeys } from './keys.mjs';
import { ACTION, expectedOutcome, payloadOf } from './plans.mjs';
import { signedOutput, submit } from './processor.mjs';
import { actors, provideEscrow } from './world.mjs';

const UNIT = 10n ** 12n;
/** Three matches per call: the proof size of more exceeds what one call may weigh. */
const MATCHES_PER_CALL = 3;
export const DURATION_MS = 180_000;
/** The pallet takes reports of an execution until its start + duration + this. */
export const TOLERANCE_MS = 120_000;
/** Above duration + tolerance, so that windows don't overlap and an execution can be missed on chain; competing jobs need 300 s. */
export const INTERVAL_MS = 360_000;
/** From registration to the first execution: enough for matches and acknowledgements in many blocks. */
const LEAD_MS = 900_000;
/** A competing job's execution can be matched this long before its start: the pallet's due delta, less some blocks. */
const DUE_MS = 102_000;
/** Until this long before an execution, time doesn't pass by itself: whatever has to precede it is mined first. */
const PREPARED_MS = 48_000;
/** What is kept of a window for the blocks that carry its reports. */
const REPORTING_MS = 72_000;

/** A syntactically valid ipfs:// URL of a CIDv0, derived from a label. */
const scriptOf = (label) => `0x${Buffer.from(`ipfs://${base58Encode(new Uint8Array([0x12, 0x20, ...blake2AsU8a(label, 256)]))}`).toString('hex')}`;
const hexText = (text) => `0x${Buffer.from(text).toString('hex')}`;

export class Wave {
  #open = new Set();

  /** `ports`: chain, clock, client, sender (EVM), relayers (their URLs) and `say(step, details)`; `limitMs` bounds the wait for one answer. */
  constructor(ports, world, plans, { limitMs }) {
    Object.assign(this, ports, { ports, world, limitMs });
    const { matcher, owners, ...of } = actors(this.chain);
    const processors = of.processors(world.processors);
    Object.assign(this, { matcher, owners });
    this.market = this.chain.api.tx.acurastMarketplace;
    let next = 0;
    this.jobs = plans.map((plan) => ({
      plan, consumer: world.consumers[plan.consumer], cancelled: false,
      slots: plan.slots.map((actions, slot) => ({ slot, actions, who: processors[next++], assignments: [] })),
    }));
  }

  /** Runs the wave; returns its jobs as the manifest has them. */
  async run() {
    await this.#register();
    await this.#match();
    await this.#acknowledge();
    const executions = Math.max(...this.jobs.map(({ plan }) => plan.executions));
    for (let e = 0; e < executions; e++) await this.#execute(e);
    await this.clock.travelTo(this.#windowEnd(executions - 1) + this.chain.slotMs);
    await this.#cancel((job) => job.plan.removed, 'removed after their last window');
    return this.manifest();
  }

  #start(execution) { return this.startMs + execution * INTERVAL_MS; }
  #windowEnd(execution) { return this.#start(execution) + DURATION_MS + TOLERANCE_MS; }
  #live(filter = () => true) { return this.jobs.filter((job) => !job.cancelled && filter(job)); }

  async #register() {
    this.startMs = (await this.chain.now()) + LEAD_MS;
    this.clock.holdWhile((nowMs) => nowMs >= this.startMs - DUE_MS);
    const { api } = this.chain;
    const calls = [];
    let sequence = (await api.query.acurast.localJobIdSequence()).toBigInt();
    const foreign = [];
    for (const job of this.jobs) {
      job.registration = this.#registration(job);
      if (job.consumer.origin === 'acurast') {
        job.owner = this.owners(job.consumer.index);
        calls.push([job.plan.via === 'deploy'
          ? this.market.deploy(job.registration, { Mutable: null }, null, null)
          : api.tx.acurast.register(job.registration), job.owner]);
        job.number = ++sequence;
        job.id = [{ Acurast: job.owner.address }, job.number.toString()];
      } else {
        job.number = BigInt(job.plan.index + 1);
        job.id = [{ Ethereum20: job.consumer.address }, job.number.toString()];
        foreign.push(job);
      }
    }
    // No call of this runtime registers jobs of this origin, so their records are put in place as Hyperdrive would; the block
    // that their first fact is in comes after.
    await this.chain.setStorage({
      Acurast: { StoredJobRegistration: foreign.map((job) => [job.id, job.registration]) },
      AcurastMarketplace: {
        StoredJobStatus: foreign.map((job) => [job.id, 'Open']),
        JobBudgets: foreign.map((job) => [[job.id], (UNIT * BigInt(job.slots.length * job.plan.executions)).toString()]),
      },
    });
    await this.clock.mineAll(calls);
    await this.#checkNumbers();
    this.say('registered', { jobs: this.jobs.length });
    await this.#cancel(({ plan }) => plan.cancel === 'open', 'cancelled while open');
  }

  /** The chain numbers jobs in the order of its blocks: a registration that was put off would have swapped two of them. */
  async #checkNumbers() {
    const registered = await Promise.all(this.jobs.map((job) => this.chain.api.query.acurast.storedJobRegistration(...job.id)));
    registered.forEach((stored, i) => {
      const { plan, registration } = this.jobs[i];
      if (stored.isNone || stored.unwrap().script.toHex() !== registration.script) throw new Error(`job ${plan.index} is not registered under the number that it was to have`);
    });
  }

  #registration({ plan, slots }) {
    const planned = plan.via === 'instant' ? slots.map(({ who }) => ({ source: who.address, startDelay: 0 })) : null;
    return {
      script: scriptOf(`seed ${this.world.seed} job ${plan.index}`), allowedSources: null, allowOnlyVerifiedSources: true,
      schedule: {
        duration: DURATION_MS, interval: INTERVAL_MS, startTime: this.startMs,
        endTime: this.startMs + (plan.executions - 1) * INTERVAL_MS + 1, maxStartDelay: 0,
      },
      memory: 1000, networkRequests: 1, storage: 0, requiredModules: [],
      extra: { requirements: {
        assignmentStrategy: plan.competing ? { Competing: null } : { Single: planned },
        slots: slots.length, reward: UNIT / 100n, minReputation: null, processorVersion: null, runtime: 'NodeJS',
      } },
    };
  }

  async #match() {
    const sources = (job) => job.slots.map(({ who }) => ({ source: who.address, startDelay: 0 }));
    const matches = this.#live(({ plan }) => plan.matched && !plan.competing && plan.via !== 'instant').map((job) => ({ jobId: job.id, sources: sources(job) }));
    const calls = [];
    for (let i = 0; i < matches.length; i += MATCHES_PER_CALL) calls.push([this.market.proposeMatching(matches.slice(i, i + MATCHES_PER_CALL)), this.matcher]);
    await this.clock.mineAll(calls);
    this.say('matched', { jobs: matches.length });
    await this.#cancel(({ plan }) => plan.cancel === 'matched', 'cancelled while matched');
  }

  async #acknowledge() {
    const calls = [];
    for (const job of this.#live(({ plan }) => plan.matched && !plan.competing)) {
      for (const slot of job.slots.filter(({ actions }) => actions)) {
        calls.push([this.market.acknowledgeMatch(job.id, publicKeys(slot.who)), slot.who]);
        this.#assign(job, slot, ALL_EXECUTIONS);
      }
    }
    await this.clock.mineAll(calls);
    this.say('acknowledged', { slots: calls.length });
    await this.#cancel(({ plan }) => plan.cancel === 'assigned', 'cancelled once assigned');
    await this.#matchExecution(0);
  }

  /** Competing jobs are matched and acknowledged for each execution on its own, before it starts. */
  async #matchExecution(execution) {
    const competing = this.#live(({ plan }) => plan.competing && execution < plan.executions);
    if (competing.length === 0) return;
    const start = this.#start(execution);
    this.clock.holdWhile((nowMs) => nowMs >= start - PREPARED_MS);
    await this.clock.travelTo(start - DUE_MS);
    for (const job of competing) {
      const [slot] = job.slots;
      const match = { jobId: job.id, sources: [{ source: slot.who.address, startDelay: 0 }], executionIndex: execution };
      await this.clock.mineAll([[this.market.proposeExecutionMatching([match]), this.matcher]]);
      await this.clock.mineAll([[this.market.acknowledgeExecutionMatch(job.id, execution, publicKeys(slot.who)), slot.who]]);
      this.#assign(job, slot, BigInt(execution));
    }
    this.say('competing: matched and acknowledged', { execution, jobs: competing.length });
  }

  #assign(job, slot, execution) {
    const { acurast, evm } = this.world;
    job.key = jobKey(acurast.genesis, { variant: job.consumer.variant, address: job.consumer.address }, job.number);
    const destination = destId(evm.caip2, evm.settlement, job.consumer.target);
    slot.assignments.push({ execution, id: assignmentId(job.key, slot.who.publicKey, destination, execution), executions: new Map() });
  }

  async #execute(execution) {
    await this.clock.travelTo(this.#start(execution));
    const due = this.#live(({ plan }) => plan.matched && execution < plan.executions)
      .flatMap((job) => job.slots.filter(({ actions }) => actions?.[execution] !== undefined).map((slot) => this.#record(job, slot, execution)));
    const answerBy = this.#windowEnd(execution) - REPORTING_MS;
    // Acurast's time stands still rather than close the window on an output without an answer or an outcome without a report.
    this.clock.holdWhile((nowMs) => this.#open.size > 0 && nowMs >= answerBy);
    due.forEach((record) => this.#open.add(record));
    const outputs = due.filter(({ action }) => action === ACTION.output);
    // Processors are devices of their own: all submit at once.
    await Promise.all(outputs.map((record) => this.#submit(record, answerBy)));
    await Promise.all(this.jobs.map((job) => job.provided));
    const reports = due.filter((record) => record.report).map(({ job, slot, report }) => [this.market.report(job.id, report), slot.who]);
    await this.clock.mineAll(reports);
    this.#open.clear();
    this.clock.holdWhile(() => false);
    this.say('executed', {
      execution, outputs: outputs.length, refused: outputs.filter(({ answer }) => answer?.refused).length,
      with_hash: outputs.filter(({ answer }) => answer?.transaction_hash).length, failures: due.filter(({ action }) => action === ACTION.fail).length,
      missed: due.filter(({ action }) => action === ACTION.miss).length,
    });
    if (execution === 0) await this.#cancel(({ plan }) => plan.cancel === 'running', 'cancelled after their first execution');
    await this.#matchExecution(execution + 1);
  }

  /** What one slot is to do in one execution; `report` is what it then reports on Acurast, if anything. */
  #record(job, slot, execution) {
    const assignment = slot.assignments.find((a) => a.execution === ALL_EXECUTIONS || a.execution === BigInt(execution));
    const action = slot.actions[execution];
    const record = { job, slot, assignment, execution, action, settlementId: settlementId(assignment.id, execution) };
    if (action === ACTION.fail) record.report = { Failure: hexText(`execution ${execution} of job ${job.plan.index} failed`) };
    if (action === ACTION.output) record.payload = payloadOf(job.plan, slot.slot, execution);
    assignment.executions.set(execution, record);
    return record;
  }

  async #submit(record, answerBy) {
    const { evm } = this.world;
    const { job, slot, assignment, execution, payload } = record;
    const output = signedOutput({
      domain: { chainId: evm.chain_id, contract: evm.settlement }, ss58: slot.who.address, assignmentId: assignment.id, execution, payload,
    });
    const answer = await submit({
      relayers: this.relayers, output, limitMs: this.limitMs,
      // Near the end of its window a processor reports the settlement id rather than wait for the hash.
      timeLeft: () => !job.plan.impatient && this.clock.nowMs < answerBy,
      accepted: () => { this.#provide(job); },
    });
    record.answer = answer;
    if (answer.refused) return;
    if (answer.settlement_id !== record.settlementId) throw new Error(`the relayer calls ${record.settlementId} ${answer.settlement_id}`);
    record.report = { Success: answer.transaction_hash ?? answer.settlement_id };
  }

  /** The first accepted output of a job whose escrow was kept away makes its consumer provide it. */
  #provide(job) {
    if (job.plan.escrow === 'open' || job.provided) return;
    job.provided = provideEscrow(this.ports, this.world, job.consumer)
      .then(() => this.say('escrow provided', { job: job.plan.index, how: job.plan.escrow === 'late' ? 'opened' : 'topped up' }));
    job.provided.catch(() => {}); // reported where it is awaited, once the window's outputs are answered
  }

  async #cancel(which, step) {
    const jobs = this.#live((job) => job.owner && which(job));
    if (jobs.length === 0) return;
    await this.clock.mineAll(jobs.map((job) => [this.chain.api.tx.acurast.deregister(job.number), job.owner]));
    jobs.forEach((job) => { job.cancelled = true; });
    this.say(step, { jobs: jobs.length });
  }

  /** The jobs as they were planned and as far as they went, plain data. */
  manifest() {
    return this.jobs.filter(({ number }) => number).map((job) => ({
      index: job.plan.index, kind: job.plan.kind, origin: job.consumer.variant, owner: job.consumer.address, number: job.number.toString(),
      job_key: jobKey(this.world.acurast.genesis, { variant: job.consumer.variant, address: job.consumer.address }, job.number),
      owner_key: job.consumer.owner_key, consumer: job.consumer.index, target: job.consumer.target, escrow_id: job.consumer.escrow_id,
      via: job.plan.via, cancelled: job.plan.cancel, matched: job.plan.matched, competing: job.plan.competing, hostile: job.plan.hostile,
      start_ms: this.startMs, duration_ms: DURATION_MS, interval_ms: INTERVAL_MS, executions: job.plan.executions,
      slots: job.slots.map(({ slot, who, actions, assignments }) => ({
        slot, processor: u8aToHex(who.publicKey), processor_ss58: who.address, acknowledges: actions !== null,
        assignments: assignments.map((assignment) => this.#assignmentManifest(job, slot, assignment)),
      })),
    }));
  }

  #assignmentManifest({ plan }, slot, { execution, id, executions }) {
    const covered = execution === ALL_EXECUTIONS ? plan.slots[slot].map((_, e) => e) : [Number(execution)];
    return {
      assignment_id: id, execution: execution === ALL_EXECUTIONS ? 'all' : Number(execution),
      executions: covered.map((e) => {
        const record = executions.get(e);
        return {
          execution: e, settlement_id: settlementId(id, e), action: plan.slots[slot][e], expected: expectedOutcome(plan, slot, e),
          payload: record?.payload ?? null, answer: record?.answer ?? null, reported: record?.report ?? null,
        };
      }),
    };
  }
}
