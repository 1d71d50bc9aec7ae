// Which records of an authoritative partition count (events/README.md, "Acceptance"). No I/O.
//
// Anybody's stale writer can append to a log, so a record counts only if its place in the chain says so. Every reader skips the
// same records, so all of them see one history.
import { createHash } from 'node:crypto';
import type protobuf from 'protobufjs';

import { hex } from './schemas.js';
import type { Start } from './log.js';

/** Writer and reader saw different logs. Going on would fold a history that others don't have: stop, and tell an operator. */
export class Halt extends Error {}

/** Where a reader stands: just after the last record that it accepted. Store it with what was made of that record. */
export interface Frontier {
  /** Offset of that record; absent before the first. */
  offset?: string;
  /** Term and writer of the claim that it was written under; 0 before any. */
  term: string;
  writer: string;
  /** That the next record must have. */
  sequence: string;
  /** Hash of that record, which the next one must name. */
  head: string;
  /** Entries before it that don't count. */
  skipped: number;
}

export const BEGIN: Frontier = { term: '0', writer: '0x', sequence: '0', head: hex(new Uint8Array(32)), skipped: 0 };

/** A record as the schema has it; its events stay as they are. */
export interface Rec {
  term: unknown;
  writer: Uint8Array;
  sequence: unknown;
  previous: Uint8Array;
  subject: Uint8Array;
  events: protobuf.Message[];
}
interface Entry {
  claim?: { term: unknown; writer: Uint8Array };
  record?: Rec;
}

/** protobufjs gives 64-bit numbers as Long, or as a number where they are small. */
const big = (value: unknown): bigint => BigInt(String(value ?? 0));

/** The hash that chains records; over the bytes as stored, never over an encoding of one's own. */
export function recordHash(topic: string, partition: number, { term, writer, sequence, previous }: Rec, value: Uint8Array): string {
  const place = Buffer.alloc(4 + 8 + 16 + 8 + 32);
  place.writeUInt32BE(partition, 0);
  place.writeBigUInt64BE(big(term), 4);
  place.set(writer, 12);
  place.writeBigUInt64BE(big(sequence), 28);
  place.set(previous, 36);
  return hex(createHash('sha256').update('acurast/record/1').update(topic).update(new Uint8Array(1)).update(place).update(value).digest());
}

/** The rule for one partition, from a stored frontier on. `entry` is the topic's type `Entry`. */
export class Partition {
  readonly #entry: protobuf.Type;
  readonly #topic: string;
  readonly #partition: number;
  #frontier: Frontier;
  #term: bigint;
  #writer: string;
  #skipped: number;
  #anchored: boolean;
  #nextOffset: bigint;

  constructor(entry: protobuf.Type, topic: string, partition: number, frontier: Frontier = BEGIN) {
    this.#entry = entry;
    this.#topic = topic;
    this.#partition = partition;
    this.#frontier = frontier;
    this.#term = BigInt(frontier.term);
    this.#writer = frontier.writer;
    this.#skipped = frontier.skipped;
    this.#anchored = frontier.offset === undefined;
    this.#nextOffset = this.start.offset;
  }

  get frontier(): Frontier {
    return this.#frontier;
  }

  /** Where to read from: at the last accepted record once more, to see that the log still is the one that was read. */
  get start(): Start {
    return { offset: BigInt(this.#frontier.offset ?? 0), exists: this.#frontier.offset !== undefined };
  }

  /** The record at `offset` if it counts, else nothing. `frontier` then stands after it. */
  take(offset: bigint, value: Uint8Array): Rec | undefined {
    if (offset !== this.#nextOffset) throw new Halt(`${this.#at(offset)} follows where ${this.#nextOffset} should; records of this log were removed`);
    this.#nextOffset += 1n;
    const { claim, record } = this.#read(value);
    if (!this.#anchored) return this.#anchor(offset, record, value);
    if (claim && big(claim.term) > this.#term && claim.writer.length === 16) {
      this.#term = big(claim.term); // a claim is no link of the chain
      this.#writer = hex(claim.writer);
      return undefined;
    }
    if (record && this.#isNext(record)) return this.#accept(offset, record, value);
    // A zombie's record, a lost claim, a repetition, or nothing that any version understands.
    this.#skipped += 1;
    return undefined;
  }

  #read(value: Uint8Array): Entry {
    try {
      return this.#entry.decode(value) as unknown as Entry;
    } catch {
      return {};
    }
  }

  #isNext(record: Rec): boolean {
    const owned = this.#term > 0n && big(record.term) === this.#term && hex(record.writer) === this.#writer;
    return owned && big(record.sequence) === BigInt(this.#frontier.sequence) && record.previous.length === 32;
  }

  #accept(offset: bigint, record: Rec, value: Uint8Array): Rec {
    const { head } = this.#frontier;
    if (hex(record.previous) !== head) {
      throw new Halt(`${this.#at(offset)}: record ${big(record.sequence)} names ${hex(record.previous)} as the one before it, but ${head} is; its writer saw another log`);
    }
    this.#frontier = {
      offset: offset.toString(), term: this.#term.toString(), writer: this.#writer, sequence: (big(record.sequence) + 1n).toString(),
      head: recordHash(this.#topic, this.#partition, record, value), skipped: this.#skipped,
    };
    return record;
  }

  #anchor(offset: bigint, record: Rec | undefined, value: Uint8Array): undefined {
    const whole = record?.writer.length === 16 && record.previous.length === 32;
    if (!whole || recordHash(this.#topic, this.#partition, record, value) !== this.#frontier.head) {
      throw new Halt(`${this.#at(offset)}: another record stands where the last accepted one stood; the log was written anew`);
    }
    this.#anchored = true;
  }

  #at(offset: bigint): string {
    return `${this.#topic}/${this.#partition}: offset ${offset}`;
  }
}
