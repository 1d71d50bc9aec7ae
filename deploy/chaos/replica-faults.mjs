// What happens to the replicas during chaos-kafka, one at a time, each from its begin until all serve again. Before each, every partition
// has exactly one owner.
import { rmSync } from 'node:fs';

/** Somebody takes over well within this: a group's session, and a broker that may be away meanwhile. */
const TAKEN_MS = 120_000;
const STOOD_DOWN_MS = 60_000;
/** Beyond the moment at which others own what was its own. */
const LONGER_MS = 4_000;
const STORM_TURNS = 4;
const STORM_MS = { least: 200, most: 1_500 };
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Cards of each kind in a deck. */
export const REPLICA_DECK = { kill: 5, pause: 2, rolling_restart: 1, lost_volume: 1, rebalance_storm: 1 };

/**
 * kind → a function of `(card, owned)` that does it; `owned`: replica → partitions. `kills` takes each kill of an owner, `pauses` each pause,
 * `failures` what was not in order.
 */
export function replicaFaults({ replicas, kills, pauses, counts, failures, given }) {
  const { all } = replicas;
  const anOwner = (draw, owned) => {
    const owners = all.filter((replica) => owned.get(replica).size > 0);
    return owners[draw(owners.length)];
  };
  const serving = (replica) => replica.victim.untilServing(given);

  /** Kill -9, now. False when it had ended by itself. */
  const kill = async (replica, owned) => {
    // What it owns in this moment: the group may have moved something since.
    const own = (await replica.gauges())?.owned ?? owned.get(replica);
    const atMs = Date.now();
    replica.away = true;
    if (!(await replica.victim.kill())) return false;
    kills.push({ name: replica.name, atMs, owned: [...own] });
    return true;
  };
  const start = (replica) => { replica.victim.start(); replica.away = false; };
  /** `early`: it may not even have begun to listen for signals. */
  const restart = async (replica, { early = false } = {}) => {
    replica.away = true;
    const disorder = await replica.victim.stop();
    if (disorder && !(early && disorder.startsWith('it stopped with SIGTERM'))) failures.push(`an orderly stop of ${replica.name}: ${disorder}`);
    start(replica);
    counts.orderly_restarts += 1;
  };

  return {
    kill: async ({ draw }, owned) => {
      const replica = anOwner(draw, owned);
      if (!(await kill(replica, owned))) return;
      try {
        // Mostly others take over meanwhile; sometimes it is back before they know.
        if (draw(5) > 0) await replicas.untilTaken(replica, owned.get(replica), { limitMs: TAKEN_MS, given });
      } finally {
        start(replica);
      }
      await serving(replica);
    },

    /** Past its lease, and until others own what it believes to own. */
    pause: async ({ draw }, owned) => {
      const replica = anOwner(draw, owned);
      const stopped = { name: replica.name, fromMs: Date.now(), owned: [...owned.get(replica)] };
      replica.victim.pause();
      replica.away = true;
      try {
        await replicas.untilTaken(replica, owned.get(replica), { limitMs: TAKEN_MS, given });
        await pause(draw(LONGER_MS));
      } finally {
        replica.victim.resume();
        replica.away = false;
      }
      const resumed = performance.now();
      await replicas.untilStoodDown(replica, { limitMs: STOOD_DOWN_MS, given });
      pauses.push({ ...stopped, toMs: Date.now(), stoodDownMs: Math.round(performance.now() - resumed) });
      await serving(replica);
    },

    rolling_restart: async () => {
      for (const replica of all) {
        await restart(replica);
        await serving(replica);
      }
    },

    /** Nothing but its configuration and keys is left. */
    lost_volume: async ({ draw }, owned) => {
      const replica = all[draw(all.length)];
      if (!(await kill(replica, owned))) return;
      rmSync(replica.dataDir, { recursive: true, force: true });
      start(replica);
      await serving(replica);
    },

    /** A member that comes and goes faster than the group can agree. */
    rebalance_storm: async ({ draw }) => {
      const replica = all[draw(all.length)];
      for (let turn = 0; turn < STORM_TURNS && !given(); turn++) {
        await restart(replica, { early: turn > 0 });
        await pause(STORM_MS.least + draw(STORM_MS.most - STORM_MS.least));
      }
      await serving(replica);
    },
  };
}
