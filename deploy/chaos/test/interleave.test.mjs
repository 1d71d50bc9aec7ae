import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Deck } from '../deck.mjs';
import { pacedBy, untilOver } from '../interleave.mjs';

const deck = () => new Deck(1, { a: 2, b: 1 }, { least: 0, most: 3 });

test('faults come until the work is over, one after the other, and are counted by kind', async () => {
  let [done, running, most] = [0, 0, 0];
  const fault = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
    running -= 1;
    done += 1;
  };
  const { counts, wrong } = await untilOver({ deck: deck(), faults: { a: fault, b: fault }, over: () => done >= 6 });
  assert.deepEqual([counts, wrong, most], [{ a: 4, b: 2 }, [], 1]);
});

test('what is waited for before a fault is handed to it; when it never comes, the work is over', async () => {
  const seen = [];
  const before = async () => (seen.length < 2 ? `calm ${seen.length}` : null);
  const { counts } = await untilOver({ deck: deck(), faults: { a: (_, calm) => seen.push(calm), b: (_, calm) => seen.push(calm) }, before, over: () => false });
  assert.deepEqual(seen, ['calm 0', 'calm 1']);
  assert.equal(counts.a + counts.b, 2);
});

test('one that goes wrong is told and not counted, and after five of them no more come', async () => {
  const broken = () => { throw new Error('nobody took over'); };
  const { counts, wrong } = await untilOver({ deck: deck(), faults: { a: broken, b: broken }, over: () => false });
  assert.deepEqual(counts, { a: 0, b: 0 });
  assert.equal(wrong.length, 5);
  assert.match(wrong[0], /^[ab]: nobody took over$/);
});

test('the next fault waits for work to go on, counted from the last one, and not for ever', async () => {
  let count = 0;
  const worked = pacedBy(() => count, { least: 10, limitMs: 60_000, over: () => false });
  let waits = true;
  const first = worked().then(() => { waits = false; });
  count = 9;
  await new Promise((resolve) => { setTimeout(resolve, 120); });
  assert.ok(waits);
  count = 15;
  await first;
  waits = true;
  const second = worked().then(() => { waits = false; });
  count = 24;
  await new Promise((resolve) => { setTimeout(resolve, 120); });
  assert.ok(waits, '9 more since the first wait ended');
  count = 25;
  await second;
  // Neither of these has what it waits for: the one gives up, the other's work is over.
  await pacedBy(() => count, { least: 10, limitMs: 1, over: () => false })();
  await pacedBy(() => count, { least: 10, limitMs: 60_000, over: () => true })();
});
