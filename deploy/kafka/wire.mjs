// Kafka's wire format, as much of it as deploy/kafka/client.mjs speaks: primitive types, and a record batch of version 2. Pure.

const CASTAGNOLI = new Uint32Array(256).map((_, i) => {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C, which guards a record batch. */
export function crc32c(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = CASTAGNOLI[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const int = (size, write) => (value) => { const buffer = Buffer.alloc(size); buffer[write](value); return buffer; };
export const i8 = int(1, 'writeInt8');
export const i16 = int(2, 'writeInt16BE');
export const i32 = int(4, 'writeInt32BE');
export const u32 = int(4, 'writeUInt32BE');
export const i64 = (value) => int(8, 'writeBigInt64BE')(BigInt(value));
/** Unsigned, seven bits a byte. */
export function uvarint(value) {
  const bytes = [];
  let rest = value >>> 0;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
/** Signed, zigzag. */
export const varint = (value) => uvarint((value << 1) ^ (value >> 31));
export const text = (value) => (value === null ? i16(-1) : Buffer.concat([i16(Buffer.byteLength(value)), Buffer.from(value)]));
export const blob = (value) => Buffer.concat([i32(value.length), value]);
export const list = (items, write) => Buffer.concat([i32(items.length), ...items.map(write)]);
/** Of the newer, "flexible" messages, each of whose structures ends in tagged fields: none here. */
export const NO_TAGS = Buffer.from([0]);
export const compactText = (value) => Buffer.concat([uvarint(Buffer.byteLength(value) + 1), Buffer.from(value)]);
export const compactList = (items, write) => Buffer.concat([uvarint(items.length + 1), ...items.map(write)]);

const nullable = (value) => (value === null ? varint(-1) : Buffer.concat([varint(value.length), value]));

/** A batch of records `{ key, value }`, buffers or null, at one time (ms), of no producer's sequence. */
export function recordBatch(records, timestampMs) {
  const encoded = records.map(({ key, value }, i) => {
    const body = Buffer.concat([i8(0), varint(0), varint(i), nullable(key), nullable(value), varint(0)]);
    return Buffer.concat([varint(body.length), body]);
  });
  const guarded = Buffer.concat([
    i16(0), i32(records.length - 1), i64(timestampMs), i64(timestampMs), i64(-1), i16(-1), i32(-1), i32(records.length), ...encoded,
  ]);
  const rest = Buffer.concat([i32(-1), i8(2), u32(crc32c(guarded)), guarded]);
  return Buffer.concat([i64(0), i32(rest.length), rest]);
}

/** Reads an answer from its front. Fails when it ends early. */
export class Answer {
  #at = 0;
  constructor(buffer) { this.buffer = buffer; }
  #take(size, read) { const value = this.buffer[read](this.#at); this.#at += size; return value; }
  i8() { return this.#take(1, 'readInt8'); }
  i16() { return this.#take(2, 'readInt16BE'); }
  i32() { return this.#take(4, 'readInt32BE'); }
  i64() { return this.#take(8, 'readBigInt64BE'); }
  #chars(length) {
    if (length < 0) return null;
    if (this.#at + length > this.buffer.length) throw new RangeError(`a text of ${length} bytes in an answer of ${this.buffer.length}`);
    this.#at += length;
    return this.buffer.toString('utf8', this.#at - length, this.#at);
  }
  text() { return this.#chars(this.i16()); }
  list(read) { return Array.from({ length: Math.max(this.i32(), 0) }, () => read(this)); }
  uvarint() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.i8();
      value |= (byte & 0x7f) << shift;
      if (byte >= 0) return value >>> 0;
    }
    throw new RangeError('a varint of more than five bytes');
  }
  compactText() { return this.#chars(this.uvarint() - 1); }
  compactList(read) { return Array.from({ length: Math.max(this.uvarint() - 1, 0) }, () => read(this)); }
  /** Passes over tagged fields. */
  tags() { for (let count = this.uvarint(); count > 0; count--) { this.uvarint(); this.#chars(this.uvarint()); } }
}
