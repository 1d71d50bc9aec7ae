import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import protobuf from 'protobufjs';

import { ENVELOPE, eventTypes, familyOf, readJournal } from '../lib/journal.mjs';
import { bytes, hex, recordHash } from '../protocol.mjs';

const TOPIC = 'acurast.jobs.v1';
const SCHEMA = `
  syntax = "proto3";
  package acurast.jobs.v1;
  message Claim { uint64 term = 1; bytes writer = 2; uint64 at = 3; }
  message Record { uint64 term = 1; bytes writer = 2; uint64 sequence = 3; bytes previous = 4; uint64 at = 5; bytes subject = 7; repeated Event events = 16; }
  message Entry { oneof entry { Claim claim = 1; Record record = 2; } }
  message Opened { uint64 amount = 1; bytes id = 2; }
  message Event { oneof event { Opened opened = 3; } }
`;
const Entry = protobuf.parse(SCHEMA).root.lookupType('acurast.jobs.v1.Entry');
const [A, B] = ['0xaa', '0xbb'].map((byte) => `0x${byte.slice(2).repeat(16)}`);
const ZERO = `0x${'00'.repeat(32)}`;

/** Writes a partition as a broker would keep it: whatever is appended gets the next offset. */
class Log {
  lines = [];
  #append(entry) {
    const value = hex(Entry.encode(Entry.fromObject(entry)).finish());
    this.lines.push(JSON.stringify({ topic: TOPIC, partition: 0, offset: this.lines.length, key: '0x', value, headers: {} }));
    return value;
  }
  claim(term, writer) { this.#append({ claim: { term, writer: bytes(writer), at: 1 } }); return this; }
  record(term, writer, sequence, previous, amount = 1) {
    const value = this.#append({ record: { term, writer: bytes(writer), sequence, previous: bytes(previous), at: 2, events: [{ opened: { amount, id: bytes(A) } }] } });
    this.head = recordHash({ topic: TOPIC, partition: 0, term, writer, sequence, previous, value });
    return this;
  }
  again(line) { this.lines.push(JSON.stringify({ ...JSON.parse(this.lines[line]), offset: this.lines.length })); return this; }
}
const chain = (log, term, writer, count, from = 0, head = ZERO) => {
  for (let i = from; i < from + count; i++) head = log.record(term, writer, i, head).head;
  return head;
};

test('a chain of records is accepted, and its head is the hash of the last one', async () => {
  const log = new Log().claim(1, A);
  const head = chain(log, 1, A, 3);
  const { figures, partitions, failures } = await readJournal(log.lines);
  assert.deepEqual(failures, []);
  assert.equal(figures.accepted, 3);
  assert.equal(partitions[`${TOPIC}/0`].head, head);
});

test('a zombie of an earlier term, a repeated record and a late claim are skipped, and the chain goes on over them', async () => {
  const log = new Log().claim(1, A);
  const first = chain(log, 1, A, 2);
  log.claim(2, B);
  log.record(1, A, 2, first, 666);
  const head = chain(log, 2, B, 1, 2, first);
  log.again(1).claim(2, A).claim(1, A);
  const last = chain(log, 2, B, 1, 3, head);
  const { figures, partitions, failures } = await readJournal(log.lines);
  assert.deepEqual(failures, []);
  assert.deepEqual([figures.accepted, figures.skipped, figures.claims], [4, 4, 4]);
  assert.equal(partitions[`${TOPIC}/0`].head, last);
});

test('what is no entry is skipped by whoever reads, and the chain goes on over it', async () => {
  const log = new Log().claim(1, A);
  const head = chain(log, 1, A, 1);
  const real = log.lines[1];
  const poison = ['0x', '0x00', '0xff'.padEnd(200, 'f'), `0x${Buffer.from('not an entry at all').toString('hex')}`, JSON.parse(real).value.slice(0, -2),
    `${JSON.parse(real).value}00`, '0x1a0201ff', '0x0a0408011200', '0x0a00', '0x12020801'];
  for (const value of poison) log.lines.push(JSON.stringify({ ...JSON.parse(real), offset: log.lines.length, value }));
  const last = chain(log, 1, A, 1, 1, head);
  const { figures, partitions, failures } = await readJournal(log.lines);
  assert.deepEqual(failures, []);
  assert.deepEqual([figures.accepted, figures.skipped, figures.undecodable, figures.claims], [2, poison.length, poison.length, 1]);
  assert.equal(partitions[`${TOPIC}/0`].head, last);
});

test('nothing is accepted before a claim', async () => {
  const log = new Log();
  chain(log, 0, `0x${'00'.repeat(16)}`, 1);
  assert.equal((await readJournal(log.lines)).figures.accepted, 0);
});

test('a record of the current writer that follows another one halts the reader', async () => {
  const log = new Log().claim(1, A);
  chain(log, 1, A, 2);
  log.record(1, A, 2, `0x${'11'.repeat(32)}`);
  const { figures, failures } = await readJournal(log.lines);
  assert.equal(figures.halted, 1);
  assert.match(failures[0], /sequence 2 follows 0x11/);
});

test('an offset that jumps halts the reader: something is lost', async () => {
  const log = new Log().claim(1, A);
  chain(log, 1, A, 3);
  const { figures, failures } = await readJournal(log.lines.filter((_, i) => i !== 2));
  assert.deepEqual([figures.accepted, figures.halted], [1, 1]);
  assert.match(failures[0], /offset 3 follows 1/);
});

test('one flipped byte of a stored value breaks the chain behind it', async () => {
  const log = new Log().claim(1, A);
  chain(log, 1, A, 2);
  const entry = JSON.parse(log.lines[1]);
  log.lines[1] = JSON.stringify({ ...entry, value: entry.value.replace(/aa$/, 'ab') });
  assert.equal((await readJournal(log.lines)).figures.halted, 1);
});

test('input and derived topics have no chain, and are counted', async () => {
  const line = JSON.stringify({ topic: 'acurast.outputs.v1', partition: 3, offset: 7, key: '0x', value: '0x00', headers: {} });
  const { figures, failures } = await readJournal([line, '']);
  assert.deepEqual(failures, []);
  assert.equal(figures.other_entries, 1);
  assert.deepEqual(['my.prefix.source.eip155-1.v1', 'acurast.jobs.v1', 'acurast.receipts.v1'].map(familyOf), ['source', 'jobs', 'receipts']);
});

test('events are decoded by the published schemas and handed to the visitor', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'acurast-proto-'));
  try {
    writeFileSync(join(directory, 'jobs.proto'), SCHEMA);
    const log = new Log().claim(1, A);
    chain(log, 1, A, 2);
    const visited = [];
    const { events, failures } = await readJournal(log.lines, { types: eventTypes(directory), visit: (record) => visited.push(record) });
    assert.deepEqual(failures, []);
    assert.deepEqual(events, { 'jobs.opened': 2 });
    assert.deepEqual(visited[1].events, [{ opened: { amount: '1', id: A }, event: 'opened' }]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const EVENTS = new URL('../../../events/', import.meta.url);

test('the published schemas have the envelope that this reader assumes', () => {
  const fieldsOf = (type) => Object.fromEntries(type.fieldsArray.map(({ id, type: of, repeated, name }) => [id, [name, ['events', 'input'].includes(name) ? 'bytes or message' : of, repeated]]));
  for (const family of ['source', 'jobs', 'lanes']) {
    const { root } = protobuf.parse(readFileSync(new URL(`proto/${family}.proto`, EVENTS), 'utf8'), { keepCase: true });
    const published = root.lookupType(`acurast.${family}.v1.Entry`);
    for (const [name, assumed] of [['Claim', ENVELOPE.fields.claim], ['Record', ENVELOPE.fields.record]]) {
      assert.deepEqual(fieldsOf(root.lookupType(`acurast.${family}.v1.${name}`)), fieldsOf(assumed.resolve().resolvedType), `${family}.${name}`);
      assert.equal(published.fields[name.toLowerCase()].id, assumed.id);
    }
  }
});

test('every golden event decodes by its published schema to the event that it is', () => {
  const types = eventTypes(new URL('proto', EVENTS).pathname);
  let decoded = 0;
  for (const family of ['source', 'jobs', 'lanes']) {
    for (const file of readdirSync(new URL(`tests/golden/${family}`, EVENTS)).filter((name) => name.endsWith('.hex'))) {
      const name = file.replace('.hex', '');
      const type = ['Claim', 'Record'].includes(name) ? ENVELOPE : types.get(family);
      for (const line of readFileSync(new URL(`tests/golden/${family}/${file}`, EVENTS), 'utf8').trim().split('\n')) {
        const event = type.decode(bytes(line.split(' ').at(-1)));
        assert.equal(event.event.replaceAll('_', ''), name.toLowerCase(), `${family}/${file}`);
        decoded += 1;
      }
    }
  }
  assert.ok(decoded > 30, `${decoded} golden events`);
});
