// The workload on real nodes. The relayer's outputs API is played by a stub, and its settlements by test/settle.mjs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Clock } from '../clock.mjs';
import { AcurastChain } from '../lib/chain.mjs';
import { observeChain } from '../lib/effects.mjs';
import { reader } from '../lib/evm.mjs';
import { devnet, withoutSpec } from './support/nodes.mjs';
import { settle } from './support/settle.mjs';
import { startStub } from './support/stub-relayer.mjs';

const skip = withoutSpec();
const WORKLOAD = fileURLToPath(new URL('../workload.mjs', import.meta.url));
const JOBS = 26;
let net;
let stub;
let manifest;
let chain;

const workload = (...args) => new Promise((resolve) => {
  const child = spawn(process.execPath, [WORKLOAD, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const out = [];
  child.stdout.on('data', (data) => out.push(data));
  child.stderr.on('data', (data) => out.push(data));
  child.on('close', (code) => resolve({ code, text: Buffer.concat(out).toString() }));
});
const executions = () => manifest.jobs.flatMap((job) => job.slots.flatMap((slot) => slot.assignments.flatMap((assignment) =>
  assignment.executions.map((execution) => ({ job, slot, assignment, ...execution })))));

before(async () => {
  if (skip) return;
  net = await devnet();
  net.sh('up');
  const read = () => JSON.parse(readFileSync(join(net.directory, 'manifest.json')));
  stub = await startStub({ jobs: () => read().jobs.map(({ job_key: key }) => ({ job_key: key, closed: true })) });
  const nodes = ['--acurast', net.acurast, '--anvil', net.anvil, '--out', net.directory];
  const setup = await workload('setup', ...nodes, '--jobs', String(JOBS), '--hostile');
  assert.equal(setup.code, 0, setup.text);
  const running = workload('run', ...nodes, '--relayer', stub.url, '--json');
  // The relayer goes away and comes back on the same port, as it does when it is killed.
  const away = (async () => {
    while (stub.accepted.size < 3) await new Promise((resolve) => { setTimeout(resolve, 20); });
    await stub.close();
    await new Promise((resolve) => { setTimeout(resolve, 1_500); });
    await stub.listen(stub.port);
  })();
  const run = await Promise.race([running, away.then(() => running)]);
  assert.equal(run.code, 0, run.text);
  run.text.trim().split('\n').forEach((line) => assert.ok(JSON.parse(line).step, line));
  manifest = read();
  chain = await AcurastChain.connect(net.acurast);
});

after(async () => {
  await chain?.close();
  await stub?.close();
  net?.stop();
});

test('every job goes through its planned life on the real runtime', { skip }, async () => {
  assert.equal(manifest.complete, true);
  assert.equal(manifest.jobs.length, JOBS);
  const { query } = chain.api;
  for (const job of manifest.jobs) {
    const id = [{ [job.origin]: job.owner }, job.number];
    const status = await query.acurastMarketplace.storedJobStatus(...id);
    const removed = job.cancelled !== null || (job.origin === 'Acurast' && status.isNone);
    if (removed) {
      assert.ok(status.isNone, `job ${job.index} is removed`);
      continue;
    }
    for (const { processor_ss58: processor, assignments, acknowledges } of job.slots) {
      const stored = await query.acurastMarketplace.storedMatches(processor, id);
      const executed = assignments.flatMap((a) => a.executions);
      const reports = executed.filter(({ reported }) => reported).length;
      // The report of the last execution removes the match; an execution that is missed leaves it behind.
      if (!job.matched || executed.at(-1)?.reported) {
        assert.ok(stored.isNone, `job ${job.index} has nothing left to report`);
      } else if (!job.competing) {
        assert.equal(stored.unwrap().acknowledged.isTrue, acknowledges, `job ${job.index}: acknowledged`);
        assert.equal(stored.unwrap().sla.met.toNumber(), reports, `job ${job.index}: reports met`);
      }
    }
  }
});

test('the manifest has every path: successes, failures, misses, cancellations, slots that never acknowledge, competing, instant', { skip }, () => {
  const kinds = new Set(manifest.jobs.map(({ kind }) => kind));
  for (const kind of ['success', 'failure', 'miss', 'cancelled-open', 'cancelled-matched', 'cancelled-assigned', 'cancelled-running', 'slot-never-acknowledged',
    'competing', 'instant-match', 'deployed', 'never-matched', 'late-escrow', 'small-escrow', 'hostile']) assert.ok(kinds.has(kind), kind);
  const expected = new Set(executions().map((execution) => execution.expected));
  assert.deepEqual([...expected].sort(), ['cancelled', 'fulfilled', 'missed', 'refused', 'reported_failure']);
});

test('processors retry a 503 and a lost relayer with the same bytes, wait for the hash, and report it', { skip }, () => {
  assert.deepEqual(stub.conflicts, []);
  const outputs = executions().filter(({ answer }) => answer);
  assert.equal(stub.accepted.size, outputs.length);
  for (const { answer, reported } of outputs) {
    assert.ok(answer.attempts >= 3);
    assert.equal(reported.Success, answer.transaction_hash);
  }
});

test('the observer counts what was settled, and finds what was lost, doubled or never planned', { skip }, async () => {
  const client = await reader(net.anvil);
  const clock = new Clock(chain, net.anvil);
  const nothing = await observeChain(client, manifest);
  const due = executions().filter(({ expected }) => ['fulfilled', 'refused'].includes(expected)).length;
  assert.equal(nothing.figures.lost, due);

  assert.equal(await settle({ client, clock }, manifest), due);
  const { figures, failures } = await observeChain(client, manifest);
  assert.deepEqual(failures, []);
  assert.deepEqual([figures.settled, figures.settled_twice, figures.lost, figures.unexpected], [due, 0, 0, 0]);
  assert.deepEqual([figures.contract_difference_wei, figures.accounts_difference_wei], ['0', '0']);
  assert.ok(BigInt(figures.charged_wei) > 0n && BigInt(figures.charged_wei) <= BigInt(figures.relayer_cost_wei));

  const fewer = structuredClone(manifest);
  fewer.jobs[0].slots[0].assignments = [];
  assert.equal((await observeChain(client, fewer)).figures.unexpected, 1);
  const other = structuredClone(manifest);
  other.jobs[0].slots[0].assignments[0].executions[0].payload = '0x00';
  assert.equal((await observeChain(client, other)).figures.contradicting, 1);
});
