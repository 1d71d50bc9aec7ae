// One real broker for the tests, and programs that are run against it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const CACHE = process.env.ACURAST_CACHE_DIR ?? join(process.env.HOME, '.cache/acurast-relayer');
export const PYTHON = process.env.ACURAST_SUBSCRIBERS_PYTHON ?? join(CACHE, 'subscribers/bin/python');
const KAFKA = process.env.ACURAST_KAFKA ?? here('../../../deploy/kafka/kafka.sh');
const LIMIT_MS = 60_000;

/** What is missing for the tests, in words; nothing when all is there. */
export function missing() {
  const asked = spawnSync(KAFKA, ['ready'], { encoding: 'utf8' });
  if (asked.status !== 0) return asked.stderr?.trim() || `${KAFKA} can't be run`;
  for (const [program, args] of [['kcat', ['-V']], [PYTHON, ['-c', 'import confluent_kafka, google.protobuf']], ['protoc', ['--version']]]) {
    if (spawnSync(program, args).status !== 0) return `${program} is missing or lacks its packages; run deploy/setup.sh --subscribers`;
  }
  return null;
}

/** A free port whose next one is free, too. */
async function freePort() {
  const listen = (port) => new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(null)).listen(port, '127.0.0.1', () => resolve(server));
  });
  const close = (server) => new Promise((resolve) => { server.close(resolve); });
  for (;;) {
    const first = await listen(0);
    const { port } = first.address();
    const second = await listen(port + 1);
    await close(first);
    if (!second) continue;
    await close(second);
    return port;
  }
}

/** Starts a broker; it dies with this process, however that ends. */
export async function startBroker() {
  const home = mkdtempSync(join(tmpdir(), 'acurast-subscribers-'));
  const port = await freePort();
  const holder = spawn(KAFKA, ['hold', '1'], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, KAFKA_HOME: join(home, 'kafka'), KAFKA_PORT: String(port) } });
  const [brokers] = await new Promise((resolve, reject) => {
    createInterface({ input: holder.stdout }).once('line', (line) => resolve([line]));
    holder.once('exit', (code) => reject(new Error(`the broker ended with code ${code}`)));
  });
  const stop = async () => {
    const ended = new Promise((resolve) => { holder.once('exit', resolve); });
    holder.stdin.end();
    await ended;
    rmSync(home, { recursive: true, force: true });
  };
  return { brokers, home, stop };
}

/** Runs a program to its end: `{ code, lines, stderr }`. It may not take longer than a minute. */
export function run(program, args, { input, env } = {}) {
  const child = start(program, args, { env });
  child.stdin.end(input);
  return child.ended;
}

/** Starts a program; `ended` as `run` returns it, `seen(n)` resolves once it printed n lines. */
export function start(program, args, { env } = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const lines = [];
  const waiting = [];
  let stderr = '';
  child.stderr.on('data', (data) => { stderr += data; });
  const reading = createInterface({ input: child.stdout });
  reading.on('line', (line) => {
    lines.push(line);
    waiting.filter(({ count }) => lines.length >= count).forEach(({ resolve }) => resolve());
  });
  const timer = setTimeout(() => { stderr += `\nkilled after ${LIMIT_MS} ms`; child.kill('SIGKILL'); }, LIMIT_MS);
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => { clearTimeout(timer); resolve({ code: code ?? signal, lines, stderr }); });
  });
  const seen = (count) => (lines.length >= count ? Promise.resolve() : Promise.race([
    new Promise((resolve) => { waiting.push({ count, resolve }); }),
    ended.then(({ code, stderr: said }) => { throw new Error(`${program} ended with ${code} after ${lines.length} lines: ${said}`); }),
  ]));
  return Object.assign(child, { ended, seen });
}
