import assert from 'node:assert/strict';
import { test } from 'node:test';

import { digestFaults } from '../counting.mjs';

const partition = (name, records, digest) => ({ partition: name, records, stored: digest, replayed: digest });
const all = { partitions: [partition('jobs/0', 4, '0xaa'), partition('jobs/1', 9, '0xbb')], fault: null };

test('replicas at the same records with the same digests are equal', () => {
  assert.deepEqual(digestFaults([['a', all], ['b', { ...all, partitions: [...all.partitions].reverse() }]]), []);
});

test('another digest, another position and a missing partition are each told', () => {
  const other = { partitions: [partition('jobs/0', 4, '0xac')], fault: null };
  assert.deepEqual(digestFaults([['a', all], ['b', other]]), ['jobs/0: a has 0xaa at record 4, b 0xac at record 4', 'jobs/1: a has 0xbb at record 9, b nothing']);
  const behind = { partitions: [partition('jobs/0', 3, '0xa0'), all.partitions[1]], fault: null };
  assert.match(digestFaults([['a', all], ['b', behind]]).join(), /^jobs\/0: a has 0xaa at record 4, b 0xa0 at record 3$/);
});

test('a replay that differs from its own state is a fault, and so is an empty state', () => {
  assert.deepEqual(digestFaults([['a', all], ['b', { partitions: [], fault: 'replay ended with 1: no' }]]), ['b: replay ended with 1: no']);
  assert.deepEqual(digestFaults([['a', { partitions: [], fault: null }]]), ['a has no partition']);
});
