import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Work } from '../work.mjs';

const work = (script, options) => new Work({ command: process.execPath, args: ['-e', script], waves: 2, ...options });

test('the share of the work grows with waves and their steps, and is whole once the last wave is over', async () => {
  const shares = [];
  const steps = [{ step: 'registered', wave: 1 }, { step: 'matched', wave: 1 }, { step: 'registered', wave: 2 }, { step: 'waiting' }];
  const running = work(`${JSON.stringify(steps)}.forEach((step) => console.log(JSON.stringify(step))); console.log('a remark')`, { told: () => shares.push(running.progress) });
  await running.done;
  assert.deepEqual(shares.map((share) => share.toFixed(3)), ['0.056', '0.111', '0.556', '1.000']);
  assert.deepEqual([running.over, running.ended.failure], [true, null]);
});

test('a failure is told with its last words', async () => {
  const running = work("console.error('no answer'); process.exit(4)");
  await running.done;
  assert.match(running.ended.failure, /code 4: no answer/);
});

test('it can be ended early', async () => {
  const running = work('setInterval(() => {}, 1000)');
  await running.stop();
  assert.match(running.ended.failure, /SIGTERM/);
});
