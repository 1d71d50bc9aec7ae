// The world of relayer.rs: a devnet of its own with both chains moving, the relayer's process, and what consumers and processors do.
//
// Reads one JSON command a line and answers each with one line; ends, and takes everything with it, when its input ends. So nothing
// outlives the test program, however that ends.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const [relayer] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'acurast-relayer-test-'));
const deploy = fileURLToPath(new URL('../../../../deploy/', import.meta.url));
const load = (name) => import(pathToFileURL(join(deploy, 'devnet', name)));
const { Clock, rpc } = await load('clock.mjs');
const { ALL_EXECUTIONS, assignmentId, destId, jobKey } = await load('protocol.mjs');
const { AcurastChain } = await load('lib/chain.mjs');
const { publicKeys } = await load('lib/keys.mjs');
const { signedOutput } = await load('lib/processor.mjs');
const { actors } = await load('lib/world.mjs');
const { reader } = await load('lib/evm.mjs');
const { parseAbi } = await import(pathToFileURL(join(deploy, 'devnet/node_modules/viem/_esm/index.js')));

const TICK_MS = 100;
/** Acurast's time passes slowly enough that no window closes while tests run, and fast enough that its node never looks dead. */
const ACURAST_EVERY_TICKS = 20;
const DURATION_MS = 1_800_000;
const INTERVAL_MS = 2_400_000;
const LEAD_MS = 120_000;
const SETTLED = parseAbi(['event Settled(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint64 execution, bool success, bytes32 payloadHash)']);

const exec = promisify(execFile);
const [acurastPort, anvilPort, apiPort] = (await exec('node', [join(deploy, 'demo/ports.mjs'), '3'])).stdout.trim().split(' ');
const env = { ...process.env, ACURAST_DEVNET_DIR: directory, ACURAST_PORT: acurastPort, ANVIL_PORT: anvilPort };
if (process.env.ACURAST_ANVIL) env.ANVIL = process.env.ACURAST_ANVIL;
const program = (file, ...args) => exec(file, args, { env, maxBuffer: 1 << 26 });
const acurast = `ws://127.0.0.1:${acurastPort}`;
const anvil = `http://127.0.0.1:${anvilPort}`;
const api = `127.0.0.1:${apiPort}`;

let chain, clock, client, world, child, nextProcessor = 0;

async function up() {
  await program(join(deploy, 'devnet/devnet.sh'), 'up');
  await program('node', join(deploy, 'devnet/workload.mjs'), 'setup', '--out', directory, '--jobs', '2');
  world = JSON.parse(readFileSync(join(directory, 'world.json')));
  const { stdout } = await program('node', join(deploy, 'demo/config.mjs'), '--world', join(directory, 'world.json'), '--out', directory, '--api', api);
  chain = await AcurastChain.connect(acurast);
  client = await reader(anvil);
  clock = new Clock(chain, anvil);
  let ticks = 0;
  clock.holdWhile(() => ++ticks % ACURAST_EVERY_TICKS !== 0);
  clock.start(TICK_MS, (error) => { console.error(`blocks stopped coming: ${error.stack}`); process.exit(1); });
  return { config: stdout.trim(), api: `http://${api}`, settlement: world.evm.settlement, consumer: world.consumers[0].target, genesis: world.acurast.genesis };
}

async function down() {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await clock?.stop();
  await program(join(deploy, 'devnet/devnet.sh'), 'down');
  rmSync(directory, { recursive: true });
}

const commands = {
  /** Starts the relayer and waits until it answers; says so when it ended instead. */
  async start() {
    const log = createWriteStream(join(directory, 'relayer.log'), { flags: 'a' });
    child = spawn(relayer, ['run', '--config', join(directory, 'relayer.toml')], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    for (const deadline = performance.now() + 60_000; performance.now() < deadline;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the relayer ended while starting:\n${readFileSync(join(directory, 'relayer.log'), 'utf8').slice(-3_000)}`);
      const healthy = await fetch(`http://${api}/healthz`).then(({ ok }) => ok, () => false);
      if (healthy) return {};
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    throw new Error('the relayer is not healthy within 60 s');
  },
  /** Sends the relayer a signal and waits for its end. */
  async end({ signal }) {
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code, by] = await ended;
    return { code, signal: by };
  },
  /** Registers a job of a consumer with an account, has it matched and acknowledged, and goes to the start of its first execution. */
  async assign({ executions }) {
    const { matcher, processors, owners } = actors(chain);
    const { acurastMarketplace: market, acurast: registry } = chain.api.tx;
    const consumer = world.consumers.find(({ origin }) => origin === 'acurast');
    const owner = owners(consumer.index);
    const processor = processors[nextProcessor++];
    const number = (await chain.api.query.acurast.localJobIdSequence()).toBigInt() + 1n;
    const id = [{ Acurast: owner.address }, number.toString()];
    const start = (await chain.now()) + LEAD_MS;
    await clock.mineAll([[registry.register({
      script: `0x${Buffer.from(`ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG`).toString('hex')}`, allowedSources: null, allowOnlyVerifiedSources: true,
      schedule: { duration: DURATION_MS, interval: INTERVAL_MS, startTime: start, endTime: start + (executions - 1) * INTERVAL_MS + 1, maxStartDelay: 0 },
      memory: 1000, networkRequests: 1, storage: 0, requiredModules: [],
      extra: { requirements: {
        assignmentStrategy: { Single: null }, slots: 1, reward: 10n ** 10n, minReputation: null, processorVersion: null, runtime: 'NodeJS',
      } },
    }), owner]]);
    await clock.mineAll([[market.proposeMatching([{ jobId: id, sources: [{ source: processor.address, startDelay: 0 }] }]), matcher]]);
    await clock.mineAll([[market.acknowledgeMatch(id, publicKeys(processor)), processor]]);
    await clock.travelTo(start);
    await clock.mine(); // one more, so that the others are final
    const key = jobKey(world.acurast.genesis, { variant: consumer.variant, address: consumer.address }, number);
    const destination = destId(world.evm.caip2, world.evm.settlement, consumer.target);
    return { job_key: key, ss58: processor.address, assignment_id: assignmentId(key, processor.publicKey, destination, ALL_EXECUTIONS) };
  },
  /** The body that the processor at `ss58` would submit. */
  sign({ ss58, assignment_id: assignment, execution, payload }) {
    return signedOutput({ domain: { chainId: world.evm.chain_id, contract: world.evm.settlement }, ss58, assignmentId: assignment, execution, payload });
  },
  /** How often the contract settled each execution of an assignment. */
  async settled({ assignment_id: assignmentId }) {
    const logs = await client.getLogs({ address: world.evm.settlement, event: SETTLED[0], args: { assignmentId }, fromBlock: 0n, toBlock: 'latest' });
    const counts = {};
    for (const { args: { execution } } of logs) counts[execution] = (counts[execution] ?? 0) + 1;
    return { counts, block: Number(await rpc(anvil, 'eth_blockNumber')) };
  },
};

let failed = false;
try {
  const lines = createInterface({ input: process.stdin });
  const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  answer(await up());
  for await (const line of lines) {
    const { command, ...args } = JSON.parse(line);
    try {
      answer(await commands[command](args));
    } catch (error) {
      answer({ failed: error.stack });
    }
  }
} catch (error) {
  console.error(error.stack);
  failed = true;
} finally {
  await down();
}
process.exit(failed ? 1 : 0);
