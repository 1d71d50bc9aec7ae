// The kill loop: kills a Victim at drawn moments while work goes on, so often as asked, spread over the whole of the work.

/** Kills may be ahead of the work by this share of it: else a slow run would get all of them at its start. */
const AHEAD = 0.05;
const LOOK_MS = 20;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * Kills and restarts until `kills` are done or the work is over. `progress()` is the share of the work that is done, 0 to 1,
 * `over()` whether it ended. Returns how many kills hit it while it recovered.
 */
export async function keepKilling({ victim, moments, kills, progress, over, told = () => {} }) {
  let inRecovery = 0;
  /** Waits while `still()`; false when the work ended meanwhile. */
  const hold = async (still) => {
    while (still()) {
      if (over()) return false;
      await pause(LOOK_MS);
    }
    return !over();
  };
  while (victim.kills < kills && !over()) {
    const { recovering, delayMs } = moments.next();
    let since = victim.startedAt;
    if (!recovering) {
      if (!(await victim.untilServing(over))) break;
      if (!(await hold(() => victim.kills / kills > progress() + AHEAD))) break;
      since = performance.now();
    }
    if (!(await hold(() => performance.now() - since < delayMs))) break;
    if (await victim.kill()) {
      if (recovering) inRecovery += 1;
      told({ kill: victim.kills, recovering, delayMs });
      victim.start();
    } else {
      // It ended by itself: the supervisor counts that and starts it again. No busy loop meanwhile.
      await pause(LOOK_MS);
    }
  }
  return inRecovery;
}
