import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BROKER_DECK } from '../broker-faults.mjs';
import { Deck } from '../deck.mjs';
import { REPLICA_DECK } from '../replica-faults.mjs';

const REST = { least: 100, most: 900 };
const draw = (seed, count, own = () => []) => {
  const deck = new Deck(seed, REPLICA_DECK, REST);
  return Array.from({ length: count }, () => { const card = deck.next(); return { kind: card.kind, restMs: card.restMs, own: own(card) }; });
};

test('a seed draws the same faults again, whatever numbers they take of their own', () => {
  assert.deepEqual(draw(7, 100), draw(7, 100));
  assert.notDeepEqual(draw(7, 100), draw(8, 100));
  const greedy = draw(7, 100, ({ draw: number }) => Array.from({ length: 20 }, () => number(10)));
  assert.deepEqual(greedy.map(({ kind, restMs }) => [kind, restMs]), draw(7, 100).map(({ kind, restMs }) => [kind, restMs]));
  assert.ok(greedy.flatMap(({ own }) => own).every((n) => n >= 0 && n < 10));
  assert.ok(new Set(greedy.map(({ own }) => own.join())).size > 50, 'each card has numbers of its own');
});

test('every deck has each kind as often as it is given there, between rests within their bounds', () => {
  for (const counts of [REPLICA_DECK, BROKER_DECK]) {
    const size = Object.values(counts).reduce((a, b) => a + b);
    const deck = new Deck(3, counts, REST);
    for (let round = 0; round < 5; round++) {
      const cards = Array.from({ length: size }, () => deck.next());
      for (const [kind, count] of Object.entries(counts)) assert.equal(cards.filter((card) => card.kind === kind).length, count, kind);
      assert.ok(cards.every(({ restMs }) => restMs >= REST.least && restMs <= REST.most));
    }
  }
});
