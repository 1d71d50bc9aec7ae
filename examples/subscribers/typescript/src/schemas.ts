// The published schemas (events/proto) as Protobuf types, and messages as plain values for people.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const PROTO = fileURLToPath(new URL('../../../../events/proto/', import.meta.url));

/** The type of message `name` in `<family>.proto`, such as ('derived', 'ReceiptsEvent'). */
export function load(family: string, name: string, folder = PROTO): protobuf.Type {
  const text = readFileSync(join(folder, `${family}.proto`), 'utf8');
  return protobuf.parse(text, { keepCase: true }).root.lookupType(`acurast.${family}.v1.${name}`);
}

/** A message's fields by their names in the schema; `event` is the name of the one that is set in a choice. */
export type Plain = { [field: string]: unknown; event?: string };

/** The fields that are there: bytes in hexadecimal, 64-bit numbers as strings, enums by their names. */
export function plain(type: protobuf.Type, message: protobuf.Message): Plain {
  return withHex(type.toObject(message, { longs: String, enums: String, oneofs: true })) as Plain;
}

function withHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(withHex);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withHex(of)]));
}

export const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;
