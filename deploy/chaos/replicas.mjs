// The replicas of a relayer as processes, and who of them owns what: read from each one's gauges, believed when they agree.
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { gaugesOf } from './gauges.mjs';
import { Victim } from './victim.mjs';

const LOOK_MS = 100;
/** How long all positions must be the same and stand still. */
const STILL_MS = 3_000;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const same = (a, b) => a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);

export class Replica {
  constructor({ name, command, config, api, dataDir, dir, readyMs }) {
    Object.assign(this, { name, config, api, dataDir, away: false });
    this.victim = new Victim({ command, args: ['run', '--config', config], log: join(dir, `${name}.log`), health: `${api}/healthz`, readyMs });
  }

  /** How many lines of its log have these words. */
  async said(words) {
    let count = 0;
    for await (const line of createInterface({ input: createReadStream(this.victim.log), crlfDelay: Infinity })) if (line.includes(words)) count += 1;
    return count;
  }

  gauges() { return this.away ? Promise.resolve(null) : gaugesOf(this.api); }
}

export class Replicas {
  constructor(all) { this.all = all; }

  others(one) { return this.all.filter((replica) => replica !== one); }

  /** Waits until `condition()` gives something, and returns it; null when `given()` came first. Fails after `limitMs`; `what`: what did not happen. */
  static async until(condition, { limitMs, what, given = () => false }) {
    const begun = performance.now();
    while (!given()) {
      const found = await condition();
      if (found) return found;
      if (performance.now() - begun > limitMs) throw new Error(`${typeof what === 'function' ? what() : what} within ${limitMs} ms`);
      await pause(LOOK_MS);
    }
    return null;
  }

  /** Once all of them answer, and every partition that any of them knows has exactly one owner: that, by replica. */
  untilCalm({ limitMs, given }) {
    let why = '';
    return Replicas.until(async () => {
      const gauges = await Promise.all(this.all.map((replica) => replica.gauges()));
      const silent = this.all.filter((_, i) => gauges[i] === null).map(({ name }) => name);
      if (silent.length > 0) { why = `${silent.join(', ')} did not answer`; return null; }
      const owners = new Map();
      for (const { known } of gauges) for (const partition of known) owners.set(partition, 0);
      for (const { owned } of gauges) for (const partition of owned) owners.set(partition, owners.get(partition) + 1);
      const wrong = [...owners].filter(([, count]) => count !== 1);
      why = owners.size === 0 ? 'nobody knew a partition' : wrong.slice(0, 3).map(([partition, count]) => `${partition} had ${count} owners`).join(', ');
      return owners.size > 0 && wrong.length === 0 ? new Map(this.all.map((replica, i) => [replica, gauges[i].owned])) : null;
    }, { limitMs, given, what: () => `the replicas did not share the partitions out: ${why}` });
  }

  /** Once others than `one` own all of `partitions`. */
  untilTaken(one, partitions, { limitMs, given }) {
    let missing = partitions;
    return Replicas.until(async () => {
      const gauges = await Promise.all(this.others(one).map((replica) => replica.gauges()));
      const owned = new Set(gauges.flatMap((of) => [...of?.owned ?? []]));
      missing = [...partitions].filter((partition) => !owned.has(partition));
      return missing.length === 0;
    }, { limitMs, given, what: () => `nobody took over ${[...missing].join(', ')} of ${one.name}` });
  }

  /** Once `one` owns nothing that another owns too. */
  untilStoodDown(one, { limitMs, given }) {
    let twice = [];
    return Replicas.until(async () => {
      const [own, ...gauges] = await Promise.all([one, ...this.others(one)].map((replica) => replica.gauges()));
      if (!own) return false;
      const owned = new Set(gauges.flatMap((of) => [...of?.owned ?? []]));
      twice = [...own.owned].filter((partition) => owned.has(partition));
      return twice.length === 0;
    }, { limitMs, given, what: () => `${one.name} did not stand down from ${twice.join(', ') || 'anything'}` });
  }

  /** Once all of them have applied the same, and no more comes: how far each partition is. */
  untilStill({ limitMs, given }) {
    let [last, since, why] = [new Map(), performance.now(), ''];
    return Replicas.until(async () => {
      const gauges = await Promise.all(this.all.map((replica) => replica.gauges()));
      if (gauges.includes(null)) { why = 'one did not answer'; return null; }
      const [first, ...rest] = gauges.map(({ applied }) => applied);
      const behind = rest.flatMap((applied) => [...first].filter(([key, value]) => applied.get(key) !== value).map(([key]) => key));
      why = behind.length > 0 ? `they differ in ${behind.slice(0, 3).join(', ')}` : 'records kept coming';
      if (first.size === 0 || behind.length > 0 || !same(first, last)) [last, since] = [first, performance.now()];
      return behind.length === 0 && first.size > 0 && performance.now() - since >= STILL_MS ? first : null;
    }, { limitMs, given, what: () => `the replicas did not come to rest at one position: ${why}` });
  }

  /** Each in order, whatever state it is in. */
  async stop() { await Promise.all(this.all.map(({ victim }) => victim.stop())); }

  /** All gone at once, so that nobody takes over from anybody. */
  async end() { await Promise.all(this.all.map(async ({ victim }) => { victim.pause(); await victim.kill(); })); }
}
