import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { anvilAccount } from '../../devnet/lib/evm.mjs';
import { keyFiles, relayerConfig, writeConfig } from '../config.mjs';

const directory = mkdtempSync(join(tmpdir(), 'acurast-config-'));
after(() => rmSync(directory, { recursive: true }));

const world = {
  acurast: { genesis: `0x${'ce'.repeat(32)}`, caip2: 'polkadot:cececececececececececececececece', height: 9 },
  evm: {
    chain_id: 31337, caip2: 'eip155:31337', settlement: `0x${'AB'.repeat(20)}`, deployed_at: 2, lane: 3,
    relayer: anvilAccount(1).address, attesters: [anvilAccount(2).address, anvilAccount(4).address],
  },
  routes: [1, 2].map((n) => ({ owner: `0x${'0a'.repeat(31)}0${n}`, chain: 'eip155:31337', target: `0x${'0b'.repeat(19)}0${n}`, escrow_id: `0x${'0c'.repeat(31)}0${n}` })),
};
const places = { acurast: 'ws://127.0.0.1:9944', anvil: 'http://127.0.0.1:8545', api: '127.0.0.1:8080' };

test('the file says what the world needs, in the words of the configuration schema', () => {
  const config = relayerConfig({ world, ...places, directory: '/demo', keys: { lanes: ['relayer.key'], attesters: ['attester-1.key', 'attester-2.key'] } });
  assert.equal(config, `data_dir = "/demo/data"

[acurast]
url = "ws://127.0.0.1:9944"
genesis = "0x${'ce'.repeat(32)}"
start = 9

[[evm]]
chain = "eip155:31337"
endpoints = [{ url = "http://127.0.0.1:8545", trusted = true }]
settlement = "0x${'ab'.repeat(20)}"
start_block = 2
finality = { depth = 2 }
poll_ms = 200
block_time_ms = 200
lanes = [{ number = 3, partition = 0, signer = { file = "/demo/relayer.key" } }]
attesters = [{ file = "/demo/attester-1.key" }, { file = "/demo/attester-2.key" }]

[evm.batch]
root_age_ms_max = 800
item_age_ms_max = 400

[[origins]]
origin = "ethereum20"
chain = "eip155:31337"

[[routes]]
owner = "acurast:0x${'0a'.repeat(31)}01"
chain = "eip155:31337"
target = "0x${'0b'.repeat(19)}01"
escrow_id = "0x${'0c'.repeat(31)}01"

[[routes]]
owner = "acurast:0x${'0a'.repeat(31)}02"
chain = "eip155:31337"
target = "0x${'0b'.repeat(19)}02"
escrow_id = "0x${'0c'.repeat(31)}02"

[api]
listen = "127.0.0.1:8080"
`);
});

test('what a run asks for other than usual stands where the schema has it', () => {
  const options = { finalityDepth: 8, fees: { replace_after_ms: 1_500 }, batch: { items_max: 6, item_age_ms_max: 200 } };
  const config = relayerConfig({ world, ...places, directory: '/demo', keys: { lanes: ['relayer.key'], attesters: [] }, ...options });
  assert.match(config, /^finality = \{ depth = 8 \}$/m);
  assert.match(config, /^\[evm\.fees\]\nreplace_after_ms = 1500$/m);
  assert.match(config, /^\[evm\.batch\]\nroot_age_ms_max = 800\nitem_age_ms_max = 200\nitems_max = 6$/m);
});

test('a journal on Kafka, its group and checkpoints stand where the schema has them', () => {
  const journal = { brokers: ['127.0.0.1:1', '127.0.0.1:2'], partitions: 12, lease_ms: 3_000, group: { session_timeout_ms: 6_000 } };
  const config = relayerConfig({ world, ...places, directory: '/demo', keys: { lanes: ['relayer.key'], attesters: [] }, journal, checkpoints: { directory: '/kept', every_ms: 9 } });
  assert.ok(config.includes(`
[journal]
kind = "kafka"
partitions = 12
lease_ms = 3000

[journal.kafka]
brokers = ["127.0.0.1:1", "127.0.0.1:2"]

[journal.kafka.group]
session_timeout_ms = 6000

[checkpoints]
place = { directory = "/kept" }
every_ms = 9

[api]
`), config);
});

test('a replica can have one attester of its own', () => {
  const config = readFileSync(writeConfig({ world, out: directory, attester: 1, ...places }), 'utf8');
  assert.ok(config.includes(`attesters = [{ file = "${join(directory, 'attester-2.key')}" }]`), config);
});

test("the keys are those of the world's relayer and attesters, each in a file that only its owner reads", () => {
  writeFileSync(join(directory, 'relayer.key'), 'of an earlier run', { mode: 0o644 });
  const file = writeConfig({ world, out: directory, ...places });
  const names = ['relayer.key', 'attester-1.key', 'attester-2.key'];
  for (const [name, index] of [[names[0], 1], [names[1], 2], [names[2], 4]]) {
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
    assert.equal(readFileSync(join(directory, name), 'utf8').trim(), `0x${Buffer.from(anvilAccount(index).getHdKey().privateKey).toString('hex')}`);
  }
  const config = readFileSync(file, 'utf8');
  names.forEach((name) => assert.ok(config.includes(join(directory, name)), name));
  assert.ok(!/0x[0-9a-f]{64}"? *$/m.test(config.replaceAll(/^(genesis|escrow_id|owner) .*$/gm, '')), 'no secret stands in the file');
});

test('each further lane has a number, a partition and a key of its own', () => {
  const further_lanes = [{ relayer: anvilAccount(6).address, lane: 4 }];
  const two = { ...world, evm: { ...world.evm, further_lanes } };
  const config = readFileSync(writeConfig({ world: two, out: directory, ...places }), 'utf8');
  const key = (name) => `signer = { file = "${join(directory, name)}" } }`;
  assert.ok(config.includes(`lanes = [{ number = 3, partition = 0, ${key('relayer.key')}, { number = 4, partition = 1, ${key('relayer-2.key')}]`), config);
  assert.equal(readFileSync(join(directory, 'relayer-2.key'), 'utf8').trim(), `0x${Buffer.from(anvilAccount(6).getHdKey().privateKey).toString('hex')}`);
});

test('an address whose key nobody here has is refused', () => {
  const strange = { ...world, evm: { ...world.evm, relayer: `0x${'12'.repeat(20)}` } };
  assert.throws(() => keyFiles(strange), /0x1212.* is none of anvil's first 10 accounts/);
});
