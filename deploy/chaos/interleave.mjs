// Lets faults come one after the other, as a deck draws them, until the work is over. Two of these side by side interleave what happens
// to the replicas with what happens to the brokers.

const LOOK_MS = 50;
/** After so many that did not go as they should, the run has shown enough. */
const WRONG_MAX = 5;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * A wait for `least` more of what `count()` counts than at the end of the last wait, but no longer than `limitMs`: so a slow machine gets as
 * many faults for its work as a quick one, and one on which nothing moves still gets the next.
 */
export function pacedBy(count, { least, limitMs, over }) {
  let last = count();
  return async () => {
    for (const begun = performance.now(); count() - last < least && performance.now() - begun < limitMs && !over();) await pause(LOOK_MS);
    last = count();
  };
}

/**
 * Draws cards and does them until `over()`; the one that is being done then ends first. `before()` is waited for before each, and what it
 * gives is handed on; nothing means that the work is over. Returns `{ counts, wrong }`: how often each kind was done, and what went wrong.
 */
export async function untilOver({ deck, faults, before = async () => true, over, told = () => {} }) {
  const [counts, wrong] = [Object.fromEntries(Object.keys(faults).map((kind) => [kind, 0])), []];
  while (!over() && wrong.length < WRONG_MAX) {
    const card = deck.next();
    for (const begun = performance.now(); performance.now() - begun < card.restMs && !over();) await pause(LOOK_MS);
    const begun = performance.now();
    try {
      const given = await before();
      if (!given || over()) break;
      await faults[card.kind](card, given);
      counts[card.kind] += 1;
      told(card.kind, Math.round(performance.now() - begun));
    } catch (error) {
      wrong.push(`${card.kind}: ${error.message}`);
      told(`${card.kind} went wrong: ${error.message}`, Math.round(performance.now() - begun));
    }
  }
  return { counts, wrong };
}
