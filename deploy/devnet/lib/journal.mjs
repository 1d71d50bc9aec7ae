// A second reader of the journal: it accepts and skips records by the protocol's rule (R12), from their stored bytes alone, and
// recomputes every hash. It shares nothing with the relayer but the documents and the published schemas.
//
// Input are lines of `{ topic, partition, offset, key, value, headers }`, byte strings in hex, in the order of each partition.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';

import { bytes, hex, recordHash } from '../protocol.mjs';
import { headerOf } from './header.mjs';

/** The value of an authoritative entry, events as bytes: the chain of records is checked without knowing what they mean. */
export const ENVELOPE = protobuf.parse(`
  syntax = "proto3";
  message Position { string topic = 1; uint32 partition = 2; uint64 position = 3; bytes id = 4; }
  message Claim { uint64 term = 1; bytes writer = 2; uint64 at = 3; }
  message Record {
    uint64 term = 1; bytes writer = 2; uint64 sequence = 3; bytes previous = 4; uint64 at = 5; Position input = 6;
    bytes subject = 7; string traceparent = 8; repeated bytes events = 16;
  }
  message Entry { oneof event { Claim claim = 1; Record record = 2; } }
`, { keepCase: true }).root.lookupType('Entry');

const ZERO_HASH = `0x${'00'.repeat(32)}`;
/** Topic families with a chain of records; the others are input or derived and have none. */
const AUTHORITATIVE = ['source', 'jobs', 'lanes'];
const TO_PLAIN = { longs: String, enums: String, oneofs: true };

/** `jobs` of `acurast.jobs.v1`, `source` of `acurast.source.eip155-1.v1`; the prefix may have dots of its own. */
export function familyOf(topic) {
  const parts = topic.split('.').slice(0, -1);
  if (parts.length >= 2 && parts.at(-2) === 'source') return 'source';
  return parts.at(-1);
}

/** Decoders of the events of each topic family, from `<family>.proto` in `directory`; a family without a file has none. */
export function eventTypes(directory) {
  const types = new Map();
  for (const family of AUTHORITATIVE) {
    const file = join(directory, `${family}.proto`);
    if (!existsSync(file)) continue;
    const { root } = protobuf.parse(readFileSync(file, 'utf8'), { keepCase: true });
    const record = root.lookupType(`acurast.${family}.v1.Record`);
    types.set(family, record.fields.events.resolve().resolvedType);
  }
  return types;
}

/** One authoritative partition: what is accepted of it, and where that stands. */
class Partition {
  constructor(topic, partition) {
    Object.assign(this, { topic, partition, term: 0n, writer: null, next: 0n, head: ZERO_HASH, offset: -1n, entries: 0, claims: 0, accepted: 0, skipped: 0, undecodable: 0, halted: null });
  }

  /** Takes the entry at the next offset; returns the record with its hash when it is accepted. After a halt nothing is. */
  take({ offset, value }) {
    if (this.halted) return null;
    if (BigInt(offset) !== this.offset + 1n) return this.#halt(`offset ${offset} follows ${this.offset}`);
    this.offset += 1n;
    this.entries += 1;
    const { claim, record } = headerOf(value);
    if (claim) return this.#claim(claim);
    if (record) return this.#record(record, value);
    this.undecodable += 1; // whoever wrote it, it is no entry
    return this.#skip();
  }

  #skip() {
    this.skipped += 1;
    return null;
  }

  #claim({ term, writer }) {
    this.claims += 1;
    if (term <= this.term) return this.#skip(); // of two claims of one term the first stands
    this.term = term;
    this.writer = writer;
    return null;
  }

  #record({ term, writer, sequence, previous }, value) {
    if (term !== this.term || writer !== this.writer || sequence !== this.next) return this.#skip();
    if (previous !== this.head) return this.#halt(`sequence ${sequence} follows ${previous}, the accepted one before it is ${this.head}`);
    let record;
    try {
      record = ENVELOPE.decode(bytes(value)).record;
    } catch {
      this.undecodable += 1;
      return this.#skip();
    }
    this.head = recordHash({ topic: this.topic, partition: this.partition, term, writer: this.writer, sequence, previous, value });
    this.next += 1n;
    this.accepted += 1;
    return { topic: this.topic, partition: this.partition, term, writer: this.writer, sequence, hash: this.head, at: Number(record.at), record };
  }

  #halt(reason) {
    this.halted = reason;
    return null;
  }

  summary() {
    const { entries, claims, accepted, skipped, undecodable, term, next, head, halted } = this;
    return { entries, claims, accepted, skipped, undecodable, term: term.toString(), next_sequence: next.toString(), head, halted };
  }
}

/**
 * Reads an (async) iterable of lines. `visit({ topic, family, partition, term, writer, sequence, hash, at, subject, events })` is called for each accepted
 * record, its events decoded to plain JSON by `types`, when their family has a schema. Returns `{ figures, partitions, failures }`.
 */
export async function readJournal(lines, { types = new Map(), visit = () => {} } = {}) {
  const partitions = new Map();
  const other = {};
  const events = {};
  const failures = [];
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const entry = JSON.parse(line);
    const family = familyOf(entry.topic);
    const key = `${entry.topic}/${entry.partition}`;
    if (!AUTHORITATIVE.includes(family)) {
      other[key] = (other[key] ?? 0) + 1;
      continue;
    }
    if (!partitions.has(key)) partitions.set(key, new Partition(entry.topic, entry.partition));
    const accepted = partitions.get(key).take(entry);
    if (!accepted) continue;
    try {
      const decoded = decode(types.get(family), accepted.record.events);
      for (const event of decoded) {
        const name = `${family}.${nameOf(event)}`;
        events[name] = (events[name] ?? 0) + 1;
      }
      visit({ ...accepted, family, record: undefined, subject: hex(Uint8Array.from(accepted.record.subject)), events: decoded });
    } catch (error) {
      failures.push(`${key} sequence ${accepted.sequence}: an event doesn't decode: ${error.message}`);
    }
  }
  for (const [key, { halted }] of partitions) if (halted) failures.push(`${key}: ${halted}`);
  const all = [...partitions.values()];
  const total = (name) => all.reduce((n, partition) => n + partition[name], 0);
  return {
    figures: {
      partitions: all.length, entries: total('entries'), claims: total('claims'), accepted: total('accepted'), skipped: total('skipped'), undecodable: total('undecodable'),
      halted: all.filter(({ halted }) => halted).length, other_entries: Object.values(other).reduce((a, b) => a + b, 0),
    },
    events,
    partitions: Object.fromEntries([...partitions].map(([key, partition]) => [key, partition.summary()])),
    failures,
  };
}

function decode(type, encoded) {
  return type ? encoded.map((event) => withHex(type.toObject(type.decode(event), TO_PLAIN))) : [];
}

/** The same value with byte strings in hex. */
export function withHex(value) {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(withHex);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withHex(of)]));
}

/** The name of a decoded event: the one field of its oneof. */
const nameOf = (event) => event[Object.keys(event).find((key) => typeof event[key] === 'string')] ?? Object.keys(event)[0];
