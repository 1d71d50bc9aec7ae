import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crowd, expectedOutcome } from '../lib/plans.mjs';

const jobs = crowd({ count: 1_000, owners: 200, seed: 7 });
const outcomes = (plans) => plans.flatMap((plan) => plan.slots.flatMap((actions, slot) => actions.map((_, execution) => expectedOutcome(plan, slot, execution))));

test('a crowd has as many outputs to deliver as jobs, a share of them twice and as many not at all', () => {
  const expected = outcomes(jobs);
  assert.equal(expected.filter((outcome) => outcome === 'fulfilled').length, 1_000);
  assert.deepEqual(['reported_failure', 'missed'].map((name) => expected.filter((outcome) => outcome === name).length), [25, 25]);
  assert.equal(jobs.filter(({ executions }) => executions === 2).length, 50);
});

test('its owners take turns, a tenth of them of another origin, and each job keeps one of them', () => {
  const owners = new Map();
  for (const { owner, origin } of jobs) owners.set(owner, [...owners.get(owner) ?? [], origin]);
  assert.equal(owners.size, 200);
  for (const origins of owners.values()) assert.deepEqual([origins.length, new Set(origins).size], [5, 1]);
  assert.equal([...owners.values()].filter(([origin]) => origin === 'ethereum').length, 20);
});

test('its jobs come to the chain in every way that their origin knows, most of them matched at once', () => {
  const ways = new Set(jobs.map(({ origin, via }) => `${origin} ${via}`));
  assert.deepEqual([...ways].sort(), ['acurast deploy', 'acurast instant', 'acurast register', 'ethereum register']);
  assert.ok(jobs.filter(({ via }) => via === 'instant').length > 800);
});

test('a seed draws the same crowd again, and another one another', () => {
  assert.deepEqual(crowd({ count: 1_000, owners: 200, seed: 7 }), jobs);
  assert.notDeepEqual(crowd({ count: 1_000, owners: 200, seed: 8 }), jobs);
});
