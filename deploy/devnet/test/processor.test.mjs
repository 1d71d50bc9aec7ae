import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { submit } from '../lib/processor.mjs';
import { startStub } from './support/stub-relayer.mjs';

const output = (number) => ({ assignment_id: `0x${number.toString(16).padStart(64, '0')}`, execution: 0, payload: '0x01', signature: '0x02' });
const never = () => false;
let stubs;
before(async () => { stubs = await Promise.all([startStub(), startStub(), startStub()]); });
after(() => Promise.all(stubs.map((stub) => stub.close())));

test('a processor goes on to the next relayer when one is down or not ready', async () => {
  await stubs[0].close();
  const answer = await submit({ relayers: stubs.map(({ url }) => url), output: output(3), timeLeft: never, limitMs: 10_000 });
  await stubs[0].listen(stubs[0].port);
  assert.match(answer.settlement_id, /^0x[0-9a-f]{64}$/);
  // Down, 503, 503, down again, and then the second one takes it.
  assert.equal(answer.attempts, 5);
  assert.deepEqual(stubs.map(({ asked }) => asked.size), [0, 1, 1]);
});

test('processors spread over the relayers, and each keeps to the one that answered', async () => {
  const relayers = stubs.map(({ url }) => url);
  const before = stubs.map(({ accepted }) => accepted.size);
  for (const number of [12, 13, 14]) await submit({ relayers, output: output(number), timeLeft: () => true, limitMs: 10_000 });
  assert.deepEqual(stubs.map(({ accepted }, i) => accepted.size - before[i]), [1, 1, 1]);
});

test('one that waits for the hash asks until it has it', async () => {
  const answer = await submit({ relayers: [stubs[2].url], output: output(9), timeLeft: () => true, limitMs: 10_000 });
  assert.match(answer.transaction_hash, /^0x/);
});

test('no answer in time is a failure that names the output', async () => {
  await assert.rejects(submit({ relayers: ['http://127.0.0.1:9'], output: output(10), timeLeft: never, limitMs: 200 }), /0x0+a execution 0 within 200 ms/);
});
