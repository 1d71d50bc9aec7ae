// What no relayer writes, for topics that others can write to: every reader must pass over it alike. Pure.
import { createHash } from 'node:crypto';

/** Topics that a relayer reads: inputs, and those whose records are chained. */
const FAMILIES = [/(^|\.)outputs\.v1$/, /(^|\.)control\.v1$/, /(^|\.)jobs\.v1$/, /(^|\.)lanes\.v1$/, /(^|\.)source\.[^.]+\.v1$/];
const LONGEST = 4_000;

/** Bytes that look random and are the same for the same numbers. */
function noise(draw, length) {
  const bytes = [];
  for (let seed = draw(2 ** 31); bytes.length < length; seed += 1) bytes.push(...createHash('sha256').update(String(seed)).digest());
  return Buffer.from(bytes.slice(0, length));
}
const varint = (value) => { const out = []; for (; value > 0x7f; value >>>= 7) out.push((value & 0x7f) | 0x80); return Buffer.from([...out, value]); };
const field = (tag, body) => Buffer.concat([Buffer.from([(tag << 3) | 2]), varint(body.length), body]);
/** A record that is well formed, of a term that nobody claimed. */
const stranger = (draw) => field(2, Buffer.concat([
  Buffer.from([1 << 3]), varint(1_000_000_000 + draw(1_000)), field(2, noise(draw, 16)), Buffer.from([3 << 3, 0]), field(4, noise(draw, 32)),
]));

/** Each makes a value (null: a tombstone) from the card's numbers. */
const FORMS = {
  nothing: () => Buffer.alloc(0), tombstone: () => null, text: () => Buffer.from('{"this": "is no record"}'), noise: (draw) => noise(draw, 1 + draw(LONGEST)),
  truncated: (draw) => stranger(draw).subarray(0, 30), longer: (draw) => Buffer.concat([stranger(draw), noise(draw, 3)]),
  'unknown kind': (draw) => field(3, noise(draw, 40)), stranger,
};

/**
 * A dose for each topic that a relayer reads: `{ topic, partition, records: [{ key, value }] }`, all forms in an order and a partition that `draw` gives.
 * `partitions`: `{ topic, partition }` of all there are.
 */
export function doses(partitions, draw) {
  const topics = new Map();
  for (const { topic, partition } of partitions) if (FAMILIES.some((family) => family.test(topic))) topics.set(topic, [...topics.get(topic) ?? [], partition]);
  return [...topics].sort(([a], [b]) => (a < b ? -1 : 1)).map(([topic, of]) => {
    const forms = Object.values(FORMS).map((form) => ({ value: form(draw), at: draw(1_000) })).sort((a, b) => a.at - b.at);
    return { topic, partition: of[draw(of.length)], records: forms.map(({ value }) => ({ key: draw(2) ? noise(draw, 32) : null, value })) };
  });
}
