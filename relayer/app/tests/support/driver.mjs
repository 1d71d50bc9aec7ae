// The world of relayer.rs and replicas.rs: a devnet of its own with both chains moving, the relayer's processes, and what consumers and
// processors do. With a second argument N it has a Kafka broker, and N replicas of the relayer share it.
//
// Reads one JSON command a line and answers each with one line; ends, and takes everything with it, when its input ends. So nothing
// outlives the test program, however that ends.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const [relayer, count = '0'] = process.argv.slice(2);
const replicas = Number(count);
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
const [acurastPort, anvilPort, ...apiPorts] = (await exec('node', [join(deploy, 'demo/ports.mjs'), String(2 + Math.max(1, replicas))])).stdout.trim().split(' ');
const env = { ...process.env, ACURAST_DEVNET_DIR: directory, ACURAST_PORT: acurastPort, ANVIL_PORT: anvilPort };
if (process.env.ACURAST_ANVIL) env.ANVIL = process.env.ACURAST_ANVIL;
const program = (file, ...args) => exec(file, args, { env, maxBuffer: 1 << 26 });
const acurast = `ws://127.0.0.1:${acurastPort}`;
const anvil = `http://127.0.0.1:${anvilPort}`;
/** One relayer alone, or the replicas: where each answers, its configuration, and its process while it has one. */
const relayers = apiPorts.map((port, i) => ({ api: `127.0.0.1:${port}`, name: replicas ? `replica-${i + 1}` : 'relayer', child: null }));
const configOf = ({ name }) => join(directory, `${name}.toml`);
const PARTITIONS = 4;
/** The shortest that brokers take. */
const SESSION_TIMEOUT_MS = 6_000;
const LEASE_MS = 2_000;

let broker, chain, clock, client, world, nextProcessor = 0;

async function up() {
  await program(join(deploy, 'devnet/devnet.sh'), 'up');
  await program('node', join(deploy, 'devnet/workload.mjs'), 'setup', '--out', directory, '--jobs', '2');
  world = JSON.parse(readFileSync(join(directory, 'world.json')));
  await program('node', join(deploy, 'demo/config.mjs'), '--world', join(directory, 'world.json'), '--out', directory, '--api', relayers[0].api);
  if (replicas) await shared();
  chain = await AcurastChain.connect(acurast);
  client = await reader(anvil);
  clock = new Clock(chain, anvil);
  let ticks = 0;
  clock.holdWhile(() => ++ticks % ACURAST_EVERY_TICKS !== 0);
  clock.start(TICK_MS, (error) => { console.error(`blocks stopped coming: ${error.stack}`); process.exit(1); });
  return { configs: relayers.map(configOf), apis: relayers.map(({ api }) => `http://${api}`), settlement: world.evm.settlement, consumer: world.consumers[0].target, genesis: world.acurast.genesis };
}

/** A broker, its topics, and a configuration for each replica. */
async function shared() {
  const home = join(directory, 'kafka');
  const port = (await exec('node', [join(deploy, 'demo/ports.mjs'), '1'])).stdout.trim();
  broker = spawn(join(deploy, 'kafka/kafka.sh'), ['hold', '1'], { env: { ...env, KAFKA_HOME: home, KAFKA_PORT: port }, stdio: ['pipe', 'pipe', 'inherit'] });
  const [brokers] = await once(createInterface({ input: broker.stdout }), 'line');
  const alone = readFileSync(join(directory, 'relayer.toml'), 'utf8');
  for (const replica of relayers) {
    const own = alone.replace(join(directory, 'data'), dataOf(replica)).replace(relayers[0].api, replica.api);
    writeFileSync(configOf(replica), [
      own, '[journal]', 'kind = "kafka"', `partitions = ${PARTITIONS}`, `lease_ms = ${LEASE_MS}`,
      '[journal.kafka]', `brokers = ["${brokers}"]`, '[journal.kafka.group]', `session_timeout_ms = ${SESSION_TIMEOUT_MS}`,
      '[journal.kafka.topics]', 'replication = 1', 'min_in_sync = 1', '',
    ].join('\n'));
  }
  await program(relayer, 'topics', 'apply', '--config', configOf(relayers[0]));
}

const dataOf = ({ name }) => join(directory, replicas ? `data-${name}` : 'data');
const lives = ({ child }) => child && child.exitCode === null && child.signalCode === null;

async function down() {
  for (const { child } of relayers.filter(lives)) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  if (broker) {
    broker.stdin.end();
    await once(broker, 'exit');
  }
  await clock?.stop();
  await program(join(deploy, 'devnet/devnet.sh'), 'down');
  rmSync(directory, { recursive: true });
}

const commands = {
  /** Starts a relayer and waits until it answers; says so when it ended instead. */
  async start({ replica = 0 }) {
    const of = relayers[replica];
    const file = join(directory, `${of.name}.log`);
    const log = createWriteStream(file, { flags: 'a' });
    const child = spawn(relayer, ['run', '--config', configOf(of)], { stdio: ['ignore', 'pipe', 'pipe'] });
    of.child = child;
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    for (const deadline = performance.now() + 60_000; performance.now() < deadline;) {
      if (!lives(of)) throw new Error(`the relayer ended while starting:\n${readFileSync(file, 'utf8').slice(-3_000)}`);
      const healthy = await fetch(`http://${of.api}/healthz`).then(({ ok }) => ok, () => false);
      if (healthy) return {};
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    throw new Error('the relayer is not healthy within 60 s');
  },
  /** Sends a relayer a signal and waits for its end. */
  async end({ replica = 0, signal }) {
    const { child } = relayers[replica];
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code, by] = await ended;
    return { code, signal: by };
  },
  /** Sends a relayer a signal that it outlives. */
  signal({ replica, signal }) {
    if (!lives(relayers[replica])) throw new Error(`replica ${replica + 1} does not run`);
    relayers[replica].child.kill(signal);
    return {};
  },
  /** Takes the volume of a relayer that doesn't run away. */
  lose({ replica }) {
    rmSync(dataOf(relayers[replica]), { recursive: true });
    return {};
  },
  /** Whether a relayer still runs, and the end of its log. */
  state({ replica }) {
    const of = relayers[replica];
    return { runs: Boolean(lives(of)), log: readFileSync(join(directory, `${of.name}.log`), 'utf8') };
  },
  /** Registers a job of a consumer with an account, has it matched and acknowledged, and goes to the start of its first execution. */
  async assign({ executions }) {
    const { matcher, processors, owners } = actors(chain);
    const { acurastMarketplace: market, acurast: registry } = chain.api.tx;
    const consumer = world.consumers.find(({ origin }) => origin === 'acurast');
    const owner = owners(consumer.index);
    const processor = processors(nextProcessor + 1)[nextProcessor++];
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
