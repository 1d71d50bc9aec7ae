import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { KafkaClient } from '../client.mjs';
import { Answer, crc32c, recordBatch, uvarint, varint } from '../wire.mjs';

const SH = fileURLToPath(new URL('../kafka.sh', import.meta.url));
const skip = spawnSync(SH, ['ready']).status === 0 ? false : 'no Kafka here (deploy/setup.sh --kafka)';
const directory = mkdtempSync(join(tmpdir(), 'acurast-kafka-'));
let held;
let client;

before(async () => {
  if (skip) return;
  const port = 20_000 + (process.pid % 20_000);
  held = spawn(SH, ['hold', '1'], { env: { ...process.env, KAFKA_HOME: join(directory, 'kafka'), KAFKA_PORT: String(port) }, stdio: ['pipe', 'pipe', 'inherit'] });
  const brokers = await new Promise((resolve, reject) => {
    held.stdout.once('data', (data) => resolve(data.toString().trim()));
    held.once('exit', (code) => reject(new Error(`the broker ended with ${code}`)));
  });
  client = new KafkaClient(`127.0.0.1:1,${brokers}`);
});
after(async () => {
  if (held) {
    const gone = new Promise((resolve) => { held.once('exit', resolve); });
    held.stdin.end();
    await gone;
  }
  rmSync(directory, { recursive: true, force: true });
});

test('the checksum of a batch is CRC-32C, and covers all from its attributes on', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  const batch = recordBatch([{ key: null, value: Buffer.from('x') }], 1_700_000_000_000);
  assert.equal(batch.readUInt32BE(17), crc32c(batch.subarray(21)));
  assert.equal(batch.readInt32BE(8), batch.length - 12);
});

test('variable-length numbers are read as they are written', () => {
  for (const value of [0, 1, 127, 128, 300, 2 ** 31]) assert.equal(new Answer(uvarint(value)).uvarint(), value);
  assert.deepEqual([0, -1, 1, -2, 63, 64].map((value) => varint(value).toString('hex')), ['00', '01', '02', '03', '7e', '8001']);
});

test('a real broker takes what it is given, tells who leads, and a broker that is down is passed over', { skip }, async () => {
  await client.createTopic('poison', 2, 1);
  await client.createTopic('poison', 2, 1);
  let partitions = [];
  while (partitions.length < 2) ({ partitions } = await client.partitions()); // metadata comes a moment later
  assert.deepEqual(partitions.map(({ topic, partition, leader, replicas, isr }) => [topic, partition, leader, replicas, isr]), [['poison', 0, 1, [1], [1]], ['poison', 1, 1, [1], [1]]]);
  assert.equal(await client.produce('poison', 1, [{ key: Buffer.from('k'), value: Buffer.from('v') }, { key: null, value: null }]), 0n);
  assert.equal(await client.produce('poison', 1, [{ key: null, value: Buffer.alloc(100_000) }]), 2n);
  await assert.rejects(client.produce('nothing', 0, []), /nothing\/0 has no leader/);
});

test('an election that changes nothing moves nothing', { skip }, async () => {
  const { partitions } = await client.partitions();
  assert.equal(await client.lead(partitions), 0);
});
