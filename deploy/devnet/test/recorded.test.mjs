// The demo's recording fits its manifest: what it replays without a node would otherwise fail only where nobody has the node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { expectedOutcome, payloadOf, plan } from '../lib/plans.mjs';
import { ALL_EXECUTIONS, assignmentId, destId, jobKey, settlementId } from '../protocol.mjs';

const read = (name) => readFileSync(new URL(`../recorded/${name}`, import.meta.url));
const world = JSON.parse(read('world.json'));
const jobs = JSON.parse(read('manifest.json'));
const lines = gunzipSync(read('demo.jsonl.gz')).toString().trim().split('\n').map((line) => JSON.parse(line));
const blocks = lines.map(({ block }) => block).filter(Boolean);

test('the recorded blocks follow on one another from the first block of the world', () => {
  assert.equal(blocks[0].number, world.acurast.height);
  assert.equal(lines[0].header.genesis, world.acurast.genesis);
  for (let i = 1; i < blocks.length; i++) {
    assert.equal(blocks[i].number, blocks[i - 1].number + 1);
    assert.equal(blocks[i].parent, blocks[i - 1].hash);
  }
});

test('the recorded jobs are those of the plans of today', () => {
  const plans = plan({ count: world.jobs, seed: world.seed });
  assert.deepEqual(jobs.map(({ index, kind }) => ({ index, kind })), plans.map(({ index, kind }) => ({ index, kind })));
  for (const job of jobs) {
    for (const { slot, assignments } of job.slots) {
      for (const { execution, expected, payload } of assignments.flatMap(({ executions }) => executions)) {
        assert.equal(expected, expectedOutcome(plans[job.index], slot, execution));
        if (payload) assert.equal(payload, payloadOf(plans[job.index], slot, execution));
      }
    }
  }
});

test('every id of the recording is what the protocol makes of its world', () => {
  let checked = 0;
  for (const job of jobs) {
    const key = jobKey(world.acurast.genesis, { variant: job.origin, address: job.owner }, BigInt(job.number));
    assert.equal(key, job.job_key);
    for (const { processor, assignments } of job.slots) {
      for (const assignment of assignments) {
        const only = assignment.execution === 'all' ? ALL_EXECUTIONS : BigInt(assignment.execution);
        assert.equal(assignmentId(key, processor, destId('eip155:31337', world.settlement, job.target), only), assignment.assignment_id);
        for (const { execution, settlement_id: id, reported } of assignment.executions) {
          assert.equal(settlementId(assignment.assignment_id, execution), id);
          if (reported?.Success) assert.equal(reported.Success, id); // a transaction's hash would differ in every replay
          checked++;
        }
      }
    }
  }
  assert.ok(checked >= world.jobs);
});
