// What a replica says of itself: gauges of its /metrics.

const ANSWER_MS = 2_000;
const LINE = /^(\w+)\{([^}]*)\} (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The values of one gauge by the value of one of its labels. */
export function gaugeBy(text, name, label) {
  const values = new Map();
  for (const line of text.split('\n')) {
    const [, of, labels, value] = LINE.exec(line) ?? [];
    if (of !== name) continue;
    const found = [...labels.matchAll(LABEL)].find(([, key]) => key === label);
    if (found) values.set(found[2], Number(value));
  }
  return values;
}

/** What the replica behind `api` owns of the partitions it knows (Sets), and up to which sequence it applied each; null when it doesn't answer. */
export async function gaugesOf(api) {
  try {
    const response = await fetch(`${api}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!response.ok) return null;
    const text = await response.text();
    const owns = gaugeBy(text, 'acurast_relayer_owned', 'partition');
    const owned = [...owns].filter(([, value]) => value === 1).map(([partition]) => partition);
    return { known: new Set(owns.keys()), owned: new Set(owned), applied: gaugeBy(text, 'acurast_relayer_applied_sequence', 'partition') };
  } catch {
    return null;
  }
}
