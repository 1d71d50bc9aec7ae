#!/usr/bin/env node
// Makes the demo's recording: its jobs on the real runtime, with outputs answered by a stand-in, so that processors report
// settlement ids, which are the same in every replay; transaction hashes would not be.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { Clock } from '../clock.mjs';
import { AcurastChain } from '../lib/chain.mjs';
import { settlementId } from '../protocol.mjs';

const USAGE = 'make.mjs RELAYER OUT   writes OUT/demo.jsonl.gz, OUT/world.json and OUT/manifest.json with the relayer\'s own `record`';
const [relayer, out] = process.argv.slice(2);
if (!relayer || !out) {
  console.error(USAGE);
  process.exit(2);
}
const TICK_MS = 20;
/** The machine's clock at the time of recording must not show: the same recording can be made again. */
const CLOCK_MS = 1_795_000_000_000;

const exec = promisify(execFile);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'acurast-recording-'));
const [acurastPort, anvilPort] = (await exec('node', [here('../../demo/ports.mjs'), '2'])).stdout.trim().split(' ');
const env = { ...process.env, ACURAST_DEVNET_DIR: directory, ACURAST_PORT: acurastPort, ANVIL_PORT: anvilPort, ACURAST_CLOCK_MS: String(CLOCK_MS) };
const program = (file, ...args) => exec(file, args, { env, maxBuffer: 1 << 26 });
const url = `ws://127.0.0.1:${acurastPort}`;

/** Accepts every output at once; what it calls the transaction is what is to be reported. */
function standIn() {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { assignment_id: assignment, execution } = JSON.parse(Buffer.concat(chunks));
    const id = settlementId(assignment, execution);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ settlement_id: id, status: 'accepted', transaction_hash: id }));
  });
  return new Promise((done) => { server.listen(0, '127.0.0.1', () => done(server)); });
}

const server = await standIn();
try {
  await program(here('../devnet.sh'), 'up');
  await program('node', here('../workload.mjs'), 'setup', '--out', directory);
  await program('node', here('../workload.mjs'), 'run', '--out', directory, '--tick-ms', String(TICK_MS), '--no-wait-closed',
    '--relayer', `http://127.0.0.1:${server.address().port}`);
  // What happened last has to be final, and every schedule over.
  const chain = await AcurastChain.connect(url);
  const clock = new Clock(chain, `http://127.0.0.1:${anvilPort}`);
  await clock.travelTo((await chain.now()) + 1_800_000);
  for (let i = 0; i < 3; i++) await clock.mine();
  await chain.close();

  const world = JSON.parse(readFileSync(join(directory, 'world.json')));
  const file = join(directory, 'demo.jsonl');
  await program(relayer, 'record', '--url', url, '--first', String(world.acurast.height), '--out', file);
  writeFileSync(join(out, 'demo.jsonl.gz'), gzipSync(readFileSync(file), { level: 9 }));
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json')));
  writeFileSync(join(out, 'world.json'), `${JSON.stringify({ seed: world.seed, clock_ms: CLOCK_MS, acurast: world.acurast, settlement: world.evm.settlement, jobs: world.plans.length })}\n`);
  writeFileSync(join(out, 'manifest.json'), `${JSON.stringify(manifest.jobs)}\n`);
  console.log(`${resolve(out)}: ${manifest.jobs.length} jobs from block ${world.acurast.height}`);
} finally {
  server.close();
  server.closeAllConnections();
  await program(here('../devnet.sh'), 'down');
  rmSync(directory, { recursive: true });
}
process.exit(process.exitCode ?? 0);
