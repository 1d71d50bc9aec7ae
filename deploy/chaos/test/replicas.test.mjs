import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Replicas } from '../replicas.mjs';

const ALL = ['jobs/0', 'jobs/1', 'lanes/0'];
/** Replicas that say what they are told to, the last thing again and again; null is silence. */
const saying = (...told) => new Replicas(told.map((words, i) => ({
  name: `replica-${i + 1}`,
  gauges: async () => {
    const now = words.length > 1 ? words.shift() : words[0];
    return now && { known: new Set(ALL), owned: new Set(now.owned ?? []), applied: new Map(Object.entries(now.applied ?? {})) };
  },
})));
const owns = (...owned) => ({ owned });
const applied = (...sequences) => ({ applied: Object.fromEntries(sequences.map((sequence, i) => [ALL[i], sequence])) });
const limitMs = 350;
const enough = 10_000;

test('they are calm once all answer and each partition has one owner, whoever that is', async () => {
  const replicas = saying([null, owns('jobs/0')], [owns('jobs/0', 'jobs/1'), owns('jobs/1')], [owns('lanes/0')]);
  const calm = await replicas.untilCalm({ limitMs: enough });
  assert.deepEqual(replicas.all.map((replica) => [...calm.get(replica)]), [['jobs/0'], ['jobs/1'], ['lanes/0']]);
});

test('a partition with two owners or none, and a silent replica, are named when it takes too long', async () => {
  await assert.rejects(saying([owns('jobs/0', 'jobs/1')], [owns('jobs/1', 'lanes/0')]).untilCalm({ limitMs }), /jobs\/1 had 2 owners within 350 ms/);
  await assert.rejects(saying([owns('jobs/0')], [owns('lanes/0')]).untilCalm({ limitMs }), /jobs\/1 had 0 owners/);
  await assert.rejects(saying([owns('jobs/0')], [null]).untilCalm({ limitMs }), /replica-2 did not answer/);
});

test('waiting ends when the run does', async () => {
  assert.equal(await saying([null]).untilCalm({ limitMs, given: () => true }), null);
});

test('partitions are taken over once others own all of them, whatever their old owner believes', async () => {
  const replicas = saying([owns('jobs/0', 'jobs/1')], [owns(), owns('jobs/0')], [owns('lanes/0'), owns('lanes/0', 'jobs/1')]);
  assert.equal(await replicas.untilTaken(replicas.all[0], new Set(['jobs/0', 'jobs/1']), { limitMs: enough }), true);
  const left = saying([owns()], [owns('jobs/0')]);
  await assert.rejects(left.untilTaken(left.all[0], new Set(['jobs/0', 'jobs/1']), { limitMs }), /nobody took over jobs\/1 of replica-1/);
});

test('one has stood down when it owns nothing that another owns; silence is no answer', async () => {
  const replicas = saying([null, owns('jobs/0', 'lanes/0'), owns('lanes/0')], [owns('jobs/0')]);
  assert.equal(await replicas.untilStoodDown(replicas.all[0], { limitMs: enough }), true);
  const stubborn = saying([owns('jobs/0')], [owns('jobs/0')]);
  await assert.rejects(stubborn.untilStoodDown(stubborn.all[0], { limitMs }), /replica-1 did not stand down from jobs\/0/);
});

test('they rest once all have applied the same for a while, and not while one is behind', async () => {
  const replicas = saying([applied(4, 5)], [applied(4, 4), applied(4, 5)]);
  assert.deepEqual([...await replicas.untilStill({ limitMs: enough })], [['jobs/0', 4], ['jobs/1', 5]]);
  await assert.rejects(saying([applied(4)], [applied(3)]).untilStill({ limitMs }), /they differ in jobs\/0/);
});
