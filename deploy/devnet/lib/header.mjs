// The fields of an entry by which a reader of an authoritative partition judges it (R12), read as strictly as the rule wants: what isn't
// an entry is skipped by every reader alike, so this one must find the same bytes malformed. It knows no other field.
import protobuf from 'protobufjs';

import { bytes, hex } from '../protocol.mjs';

const [CLAIM, RECORD] = [1, 2];
const [VARINT, DELIMITED] = [0, 2];
/** Groups are not used. */
const WIRE_TYPES = [0, 1, 2, 5];
const [WRITER_BYTES, HASH_BYTES] = [16, 32];
const malformed = (what) => { throw new RangeError(what); };

function key(reader) {
  const tag = reader.uint32();
  const [field, type] = [tag >>> 3, tag & 7];
  return field > 0 && WIRE_TYPES.includes(type) ? { field, type } : malformed(`no key of a field: ${tag}`);
}

const exactly = (size) => (reader) => {
  const value = reader.bytes();
  return value.length === size ? hex(value) : malformed(`${value.length} bytes where ${size} belong`);
};
const number = (reader) => BigInt(reader.uint64().toString());
const FIELDS = {
  1: { name: 'term', type: VARINT, read: number },
  2: { name: 'writer', type: DELIMITED, read: exactly(WRITER_BYTES) },
  3: { name: 'sequence', type: VARINT, read: number },
  4: { name: 'previous', type: DELIMITED, read: exactly(HASH_BYTES) },
};

function fields(reader, last) {
  const found = { term: 0n, sequence: 0n };
  const seen = new Set();
  while (reader.pos < reader.len) {
    const { field, type } = key(reader);
    if (field > last) {
      reader.skipType(type);
      continue;
    }
    const { name, type: wanted, read } = FIELDS[field];
    if (seen.has(field) || type !== wanted) malformed(`field ${field} is not once of its type`);
    seen.add(field);
    found[name] = read(reader);
  }
  return found;
}

/** `{ claim: { term, writer } }`, `{ record: { term, writer, sequence, previous } }`, or why it is neither: `{ skipped }`. */
export function headerOf(value) {
  try {
    const outer = protobuf.Reader.create(bytes(value));
    const { field, type } = key(outer);
    if (type !== DELIMITED) malformed('no message');
    const inner = protobuf.Reader.create(outer.bytes());
    if (outer.pos < outer.len) malformed('bytes after the entry');
    if (field !== CLAIM && field !== RECORD) return { skipped: 'an entry of an unknown kind' };
    const found = fields(inner, field === CLAIM ? 2 : 4);
    if (!found.writer) malformed('no writer');
    if (field === CLAIM) return { claim: found };
    return found.previous ? { record: found } : malformed('no previous hash');
  } catch (error) {
    return { skipped: `no entry: ${error.message}` };
  }
}
