// When a process is killed: moments drawn from a seed, so that a run that found something can be asked for again.
import { random } from '../devnet/lib/plans.mjs';

/** Most kills hit a relayer that serves, so long after it answered; some hit it while it recovers, so long after it was started. */
const SERVING_MS = { least: 200, most: 2_500 };
const RECOVERING_MS = { least: 20, most: 800 };
const RECOVERING_SHARE = 0.2;

/** Draws moments: `next()` is `{ recovering, delayMs }`. The same seed draws the same ones. */
export class Moments {
  #draw;
  constructor(seed) { this.#draw = random(seed); }

  next() {
    const recovering = this.#draw() < RECOVERING_SHARE;
    const { least, most } = recovering ? RECOVERING_MS : SERVING_MS;
    return { recovering, delayMs: Math.round(least + this.#draw() * (most - least)) };
  }
}
