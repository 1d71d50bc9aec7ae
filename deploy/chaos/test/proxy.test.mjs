import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { Proxy } from '../proxy.mjs';

const directory = mkdtempSync(join(tmpdir(), 'acurast-proxy-'));
after(() => rmSync(directory, { recursive: true }));
/** A program that speaks the proxy's words. */
const program = (name, body) => {
  const file = join(directory, name);
  writeFileSync(file, `#!/usr/bin/env node\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
};
const options = { upstream: 'http://127.0.0.1:1', permille: 100, seed: 7 };

test('it is given its upstream, share and seed, found by what it says, asked for its faults, and stopped', async () => {
  const command = program('proxy.cjs', `
    require('node:http').createServer((_, response) => response.end(JSON.stringify({ args: process.argv.slice(2) })))
      .listen(0, '127.0.0.1', function () { console.log('listening on 127.0.0.1:' + this.address().port); });`);
  const proxy = new Proxy({ command, ...options });
  assert.match(await proxy.url(), /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual((await proxy.counts()).args, ['--listen', '127.0.0.1:0', '--upstream', 'http://127.0.0.1:1', '--faults-permille', '100', '--seed', '7']);
  await proxy.stop();
  assert.equal(proxy.failure, null);
});

test('one that ends by itself says why, before it listens and afterwards', async () => {
  const early = new Proxy({ command: program('early.cjs', "console.error('no upstream'); process.exit(2);"), ...options });
  await assert.rejects(early.url(), /code 2: no upstream/);
  const late = new Proxy({ command: program('late.cjs', "console.log('listening on 127.0.0.1:9'); setTimeout(() => process.exit(3), 50);"), ...options });
  await late.url();
  await late.ended;
  assert.match(late.failure, /late\.cjs ended with code 3/);
});

test('a program that is not there is said to be', async () => {
  await assert.rejects(new Proxy({ command: join(directory, 'nothing'), ...options }).url(), /can't run/);
});
