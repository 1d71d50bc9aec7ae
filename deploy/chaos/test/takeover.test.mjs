import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Terms, percentile, takeovers } from '../takeover.mjs';

const terms = (...records) => {
  const fold = new Terms();
  for (const [partition, term, at] of records) fold.visit({ topic: 'acurast.jobs.v1', partition, term: BigInt(term), at });
  return fold;
};
const one = 'acurast.jobs.v1/1';

test('a takeover lasts from the kill to the first record of a later term, whoever writes what before', () => {
  const fold = terms([1, 1, 100], [1, 1, 990], [2, 4, 995], [1, 2, 1_700], [1, 2, 1_800], [1, 3, 9_000]);
  assert.deepEqual(takeovers([{ name: 'a', atMs: 1_000, owned: [one] }], fold), { takenMs: [700], orphans: [], notIts: 0 });
  assert.equal(fold.changes, 2);
});

test('every partition of every killed owner counts, the slowest last', () => {
  const fold = terms([1, 1, 10], [1, 2, 150], [1, 3, 400], [2, 1, 10], [2, 2, 170]);
  const kills = [{ name: 'a', atMs: 100, owned: [one, 'acurast.jobs.v1/2'] }, { name: 'b', atMs: 300, owned: [one] }];
  assert.deepEqual(takeovers(kills, fold).takenMs, [50, 70, 100]);
});

test('a partition in which nobody acts any more is an orphan', () => {
  const { takenMs, orphans } = takeovers([{ name: 'a', atMs: 200, owned: [one, 'acurast.lanes.v1/0'] }], terms([1, 1, 100], [1, 1, 190]));
  assert.deepEqual(takenMs, []);
  assert.match(orphans.join('\n'), /jobs\.v1\/1 after the kill of a at 1970.*\n.*lanes\.v1\/0/);
});

test('one whose term goes on after the kill had another owner already, and is no takeover', () => {
  const fold = terms([1, 1, 100], [1, 1, 290], [1, 1, 700], [1, 2, 900]);
  assert.deepEqual(takeovers([{ name: 'a', atMs: 300, owned: [one] }], fold), { takenMs: [], orphans: [], notIts: 1 });
});

test('percentiles are values that were measured', () => {
  const values = Array.from({ length: 200 }, (_, i) => i + 1);
  assert.deepEqual([0.5, 0.99, 1].map((share) => percentile(values, share)), [100, 198, 200]);
  assert.deepEqual([percentile([7], 0.99), percentile([], 0.5)], [7, -1]);
});
