import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readJournal } from '../../devnet/lib/journal.mjs';
import { hex } from '../../devnet/protocol.mjs';
import { Deck } from '../deck.mjs';
import { doses } from '../poison.mjs';

const topics = ['outputs', 'control', 'jobs', 'lanes', 'source.polkadot-ab', 'source.eip155-1', 'receipts', 'checkpoints'].map((name) => `acurast.${name}.v1`);
const partitions = topics.flatMap((topic) => [0, 1, 2].map((partition) => ({ topic, partition })));
const card = (seed) => new Deck(seed, { poison: 1 }, { least: 0, most: 0 }).next();

test('every topic that a relayer reads gets its dose, in one of its partitions; derived ones get none', () => {
  const given = doses(partitions, card(1).draw);
  assert.deepEqual(given.map(({ topic }) => topic).sort(), topics.slice(0, 6).sort());
  assert.ok(given.every(({ partition }) => partition < 3));
  assert.deepEqual(given.map(({ records }) => records.length), Array(6).fill(8));
});

test('a seed gives the same dose again, and the next card another', () => {
  assert.deepEqual(doses(partitions, card(5).draw), doses(partitions, card(5).draw));
  assert.notDeepEqual(doses(partitions, card(5).draw), doses(partitions, card(6).draw));
});

test('no reader of a chained topic accepts any of it, nor halts', async () => {
  for (let seed = 0; seed < 50; seed++) {
    const { topic, partition, records } = doses(partitions, card(seed).draw).find(({ topic: of }) => of.includes('jobs'));
    const lines = records.map(({ key, value }, offset) => JSON.stringify({ topic, partition, offset, key: hex(key ?? Buffer.alloc(0)), value: hex(value ?? Buffer.alloc(0)), headers: {} }));
    const { figures, failures } = await readJournal(lines);
    assert.deepEqual(failures, []);
    assert.deepEqual([figures.entries, figures.accepted, figures.skipped, figures.claims], [8, 0, 8, 0], `seed ${seed}`);
  }
});
