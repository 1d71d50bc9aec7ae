// When a process is killed: moments drawn from a seed, so that a run that found something can be asked for again.
import { random } from '../devnet/lib/plans.mjs';

/** Most kills hit a relayer that serves, so long after it answered; some hit it while it recovers, so long after it was started. */
const SERVING_MS = { least: 200, most: 2_500 };
const RECOVERING_MS = { least: 20, most: 800 };
const RECOVERING_SHARE = 0.2;

/** Draws moments: `next()` is `{ recovering, delayMs }`. The same seed draws the same ones. */
export class Moments {
  #draw;
  /** `servingMs`: the bounds of the former, other than usual. */
  constructor(seed, { servingMs = SERVING_MS } = {}) {
    this.#draw = random(seed);
    this.servingMs = servingMs;
  }

  next() {
    const recovering = this.#draw() < RECOVERING_SHARE;
    const { least, most } = recovering ? RECOVERING_MS : this.servingMs;
    return { recovering, delayMs: Math.round(least + this.#draw() * (most - least)) };
  }
}
