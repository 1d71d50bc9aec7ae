// Which faults come, and when: cards of a deck that is shuffled anew whenever it is used up. Each kind comes as often in a deck as it is
// given there, so a run that lasts has all of them, in an order and with rests that a seed repeats.
import { random } from '../devnet/lib/plans.mjs';

/** Draws forever: `next()` is `{ kind, restMs, draw }`; `draw(n)` gives whole numbers below n that belong to the card. */
export class Deck {
  #draw;
  #cards = [];

  /** `counts`: kind → cards of it in a deck; `restMs`: bounds of the rest before a card. */
  constructor(seed, counts, restMs) {
    this.#draw = random(seed);
    Object.assign(this, { counts, restMs });
  }

  next() {
    if (this.#cards.length === 0) this.#cards = this.#shuffled();
    const { least, most } = this.restMs;
    // The card's own numbers come from a generator of its own: how many of them are asked for changes nothing about the next card.
    const [rest, own] = [this.#draw(), random(Math.floor(this.#draw() * 2 ** 31))];
    return { kind: this.#cards.pop(), restMs: Math.round(least + rest * (most - least)), draw: (below) => Math.floor(own() * below) };
  }

  #shuffled() {
    const cards = Object.entries(this.counts).flatMap(([kind, count]) => Array.from({ length: count }, () => ({ kind, at: this.#draw() })));
    return cards.sort((a, b) => a.at - b.at).map(({ kind }) => kind);
  }
}
