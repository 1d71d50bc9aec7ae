// How long a partition was without an owner that acts: from the kill -9 of its owner to the first accepted record of a later term. A claim
// isn't an act. Pure; the records are those that the second reader accepts.

/** A killed owner's last record was stamped before the kill; one that is stamped so much later in its term is another's. */
const ALIVE_MS = 100;

/** The fold of accepted records: per partition the terms in which anything was written, each with the times of its first and last record. */
export class Terms {
  /** `topic/n` → `[{ term, atMs, lastMs }]`, ascending. */
  byPartition = new Map();

  /** Takes an accepted record as `readJournal` gives it. */
  visit({ topic, partition, term, at }) {
    const key = `${topic}/${partition}`;
    const terms = this.byPartition.get(key) ?? [];
    if (terms.at(-1)?.term !== term) terms.push({ term, atMs: at });
    terms.at(-1).lastMs = at;
    this.byPartition.set(key, terms);
  }

  /** How often partitions changed hands, each first owner not counted. */
  get changes() { return [...this.byPartition.values()].reduce((sum, terms) => sum + terms.length - 1, 0); }
}

/**
 * `kills`: `{ name, atMs, owned }`, the partitions that the killed one said were its own. Returns `{ takenMs, orphans, notIts }`: a time for each
 * of them, ascending; the names of those that nobody acted in afterwards; and how many had changed hands just before, as their term went on.
 */
export function takeovers(kills, terms) {
  const takenMs = [];
  const orphans = [];
  let notIts = 0;
  for (const { name, atMs, owned } of kills) {
    for (const partition of owned) {
      const all = terms.byPartition.get(partition) ?? [];
      const next = all.find((term) => term.atMs > atMs);
      const last = all.findLast((term) => term.atMs <= atMs);
      if (last && last.lastMs > atMs + ALIVE_MS) notIts += 1;
      else if (next) takenMs.push(next.atMs - atMs);
      else orphans.push(`${partition} after the kill of ${name} at ${new Date(atMs).toISOString()}`);
    }
  }
  return { takenMs: takenMs.sort((a, b) => a - b), orphans, notIts };
}

/** The value below or at which `share` of the ascending values are, by nearest rank; -1 without any. */
export const percentile = (values, share) => (values.length === 0 ? -1 : values[Math.max(Math.ceil(share * values.length) - 1, 0)]);
