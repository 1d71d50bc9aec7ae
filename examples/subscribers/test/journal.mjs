// The log that the subscribers are tested on: what a real run of the demo wrote, and in it what strangers and a takeover add to such
// logs. What should come of it is told by the journal's second reader and by the published schemas, not by the subscribers' code.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

import { ENVELOPE, eventTypes, readJournal } from '../../../deploy/devnet/lib/journal.mjs';
import protobuf from '../../../deploy/devnet/node_modules/protobufjs/index.js';
import { bytes, hex, recordHash } from '../../../deploy/devnet/protocol.mjs';

export const JOBS = 'acurast.jobs.v1';
export const RECEIPTS = 'acurast.receipts.v1';
const PROTO = new URL('../../../events/proto/', import.meta.url);
const [ZOMBIE, SUCCESSOR] = ['ee', 'bb'].map((byte) => `0x${byte.repeat(16)}`);

/** The recorded run: lines of `journal tail --raw`, each partition in order. */
export function recorded() {
  const text = gunzipSync(readFileSync(new URL('demo.ndjson.gz', import.meta.url))).toString();
  return text.trim().split('\n').map((line) => JSON.parse(line));
}

/** Lines with offsets as a broker gives them: by partition, in order. */
export function numbered(lines) {
  const next = new Map();
  return lines.map((line) => {
    const key = `${line.topic}/${line.partition}`;
    const offset = next.get(key) ?? 0;
    next.set(key, offset + 1);
    return { ...line, offset };
  });
}

const entry = (value) => hex(ENVELOPE.encode(ENVELOPE.fromObject(value)).finish());
const claimOf = (term, writer) => entry({ claim: { term, writer: bytes(writer), at: 1 } });
export const recordOf = ({ term, writer, sequence, previous }) => entry({ record: { term, writer: bytes(writer), sequence, previous: bytes(previous), at: 2, subject: bytes('0x5a'), events: [] } });

/** Where the chain of a partition stands after `lines`. */
export async function standing(lines, key) {
  const { partitions, failures } = await readJournal(lines.map((line) => JSON.stringify(line)));
  if (failures.length > 0) throw new Error(failures.join('; '));
  const { term, next_sequence: sequence, head } = partitions[key];
  return { term: BigInt(term), sequence: BigInt(sequence), head };
}

/** The writer of a stored claim or record. */
const writerOf = (value) => {
  const { claim, record } = ENVELOPE.decode(bytes(value));
  return hex((claim ?? record).writer);
};

/**
 * The run with what strangers wrote into a partition of jobs.v1 (claims of the term that is taken, a zombie's record, repetitions,
 * a record whose predecessor was lost, bytes that are none) and a successor that takes it over, while the old writer's record comes late.
 */
export async function doctored(lines) {
  const longest = [0, 1, 2, 3].map((partition) => lines.filter((line) => line.topic === JOBS && line.partition === partition)).sort((a, b) => b.length - a.length)[0];
  const { partition } = longest[0];
  const line = (value) => ({ topic: JOBS, partition, key: '0x', value, headers: {} });
  const middle = Math.floor(longest.length / 2);
  const own = writerOf(longest[0].value);
  const half = await standing(numbered(longest.slice(0, middle)), `${JOBS}/${partition}`);
  const next = { term: half.term, writer: own, sequence: half.sequence, previous: half.head };
  const strangers = [
    claimOf(half.term, ZOMBIE), recordOf({ ...next, writer: ZOMBIE }), longest[middle - 1].value, longest[middle - 2].value,
    recordOf({ ...next, sequence: half.sequence + 7n }), '0xff', '0x', '0x1a00', recordOf({ ...next, term: half.term + 9n }),
  ].map(line);
  const end = await standing(numbered(longest), `${JOBS}/${partition}`);
  const term = end.term + 4n;
  const first = recordOf({ term, writer: SUCCESSOR, sequence: end.sequence, previous: end.head });
  const head = recordHash({ topic: JOBS, partition, term, writer: SUCCESSOR, sequence: end.sequence, previous: end.head, value: first });
  const takeover = [
    claimOf(term, SUCCESSOR), recordOf({ term: end.term, writer: own, sequence: end.sequence, previous: end.head }), first,
    claimOf(end.term, own), recordOf({ term, writer: SUCCESSOR, sequence: end.sequence + 1n, previous: head }),
  ].map(line);
  const changed = [...longest.slice(0, middle), ...strangers, ...longest.slice(middle), ...takeover];
  return { partition, strangers: strangers.length + 2, lines: [...lines.filter((other) => !(other.topic === JOBS && other.partition === partition)), ...changed] };
}

/** The receipts again that a relayer publishes after a crash: a run of each partition's, twice. */
export function republished(lines) {
  const receipts = lines.filter(({ topic }) => topic === RECEIPTS).reduce((all, line) => all.set(line.partition, [...all.get(line.partition) ?? [], line]), new Map());
  const again = [...receipts.values()].flatMap((own) => own.slice(-5).flatMap((line) => [line, line]));
  return { lines: [...lines, ...again], again: again.length };
}

const STATES = { job_opened: 'OPEN', job_matched: 'MATCHED', job_assigned: 'ASSIGNED', job_removed: 'REMOVED', job_done: 'DONE', job_closed: 'CLOSED' };

/** What a subscriber of jobs.v1 has to know after `lines`. */
export async function expectedJobs(lines) {
  const jobs = {};
  const outcomes = {};
  let ended = 0;
  const visit = ({ subject, events }) => {
    for (const event of events) {
      if (STATES[event.event]) jobs[subject] = STATES[event.event];
      if (event.event !== 'execution_ended') continue;
      ended += 1;
      outcomes[subject] ??= {};
      const { outcome, executions } = event.execution_ended;
      outcomes[subject][outcome] = (outcomes[subject][outcome] ?? 0) + Number(executions);
    }
  };
  const own = lines.filter(({ topic }) => topic === JOBS).map((line) => JSON.stringify(line));
  const { partitions, events, failures } = await readJournal(own, { types: eventTypes(PROTO.pathname), visit });
  if (failures.length > 0) throw new Error(failures.join('; '));
  const standing = Object.entries(partitions).map(([key, { term, next_sequence, head, skipped }]) => [key.split('/')[1], { term, next_sequence, head, skipped }]);
  return {
    ended, accepted: Object.values(partitions).reduce((sum, { accepted }) => sum + accepted, 0), skipped: Object.values(partitions).reduce((sum, { skipped }) => sum + skipped, 0),
    known: { partitions: Object.fromEntries(standing), jobs, outcomes, events: Object.fromEntries(Object.entries(events).map(([name, times]) => [name.replace('jobs.', ''), times])) },
  };
}

/** The receipts that a subscriber has to have after `lines`: id and kind, each id once. */
export function expectedReceipts(lines) {
  const type = protobuf.parse(readFileSync(new URL('derived.proto', PROTO), 'utf8'), { keepCase: true }).root.lookupType('acurast.derived.v1.ReceiptsEvent');
  const known = new Map();
  for (const { value } of lines.filter(({ topic }) => topic === RECEIPTS)) {
    const event = type.toObject(type.decode(bytes(value)), { oneofs: true });
    known.set(hex(event[event.event].id), event.event);
  }
  return [...known].sort().map(([id, kind]) => ({ id, kind }));
}
