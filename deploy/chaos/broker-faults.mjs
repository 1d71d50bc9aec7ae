// What happens to the brokers and their topics during chaos-kafka, each from its begin until all are in sync again. At most one of these
// at a time, so two brokers are in sync but for `below_minimum`.
import { doses } from './poison.mjs';

/** How long a broker is away, ms: less than it takes to notice, and more. */
const KILLED_MS = { least: 500, most: 8_000 };
/** A broker that doesn't answer is left out after its session, which is 9 s. */
const PAUSED_MS = { least: 3_000, most: 14_000 };
const BELOW_MS = { least: 4_000, most: 9_000 };
const SYNC_MS = 180_000;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const within = ({ least, most }, draw) => least + draw(most - least);

/** Cards of each kind in a deck. */
export const BROKER_DECK = { broker_kill: 2, broker_pause: 1, leader_move: 2, poison: 2, below_minimum: 1 };

/** kind → a function of a card that does it. `counts` takes what else there is to count. */
export function brokerFaults({ brokers, counts, given }) {
  const one = (draw) => brokers.ids[draw(brokers.ids.length)];
  /** Whatever happened, and also when the run is stopped: no broker is left unwell. */
  const healed = async (work) => {
    try {
      await work();
    } finally {
      await brokers.healAll();
    }
    await brokers.untilInSync({ limitMs: SYNC_MS, given });
  };
  return {
    broker_kill: ({ draw }) => healed(async () => {
      await brokers.kill(one(draw));
      await pause(within(KILLED_MS, draw));
    }),
    broker_pause: ({ draw }) => healed(async () => {
      await brokers.pause(one(draw));
      await pause(within(PAUSED_MS, draw));
    }),
    /** Two of three: nothing is taken, and partitions led by the two aren't read, until one of them is back. */
    below_minimum: ({ draw }) => healed(async () => {
      const left = one(draw);
      const others = brokers.ids.filter((id) => id !== left);
      await Promise.all(others.map((id) => (draw(2) ? brokers.kill(id) : brokers.pause(id))));
      await pause(within(BELOW_MS, draw));
    }),
    leader_move: async ({ draw }) => {
      const { partitions } = await brokers.client.partitions();
      const by = 1 + draw(2);
      const turned = partitions.map((of) => ({ ...of, replicas: [...of.replicas.slice(by), ...of.replicas.slice(0, by)] }));
      const moved = await brokers.client.lead(turned);
      if (moved === 0) throw new Error('no leader moved');
      counts.leaders_moved += moved;
    },
    poison: async ({ draw }) => {
      const { partitions } = await brokers.client.partitions();
      for (const { topic, partition, records } of doses(partitions, draw)) {
        await brokers.client.produce(topic, partition, records);
        counts.poison_records += records.length;
        counts.poisoned.add(topic);
      }
    },
  };
}
