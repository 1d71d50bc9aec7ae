// The fault proxy as a child process: the relayer's way to a node, with a share of its requests spoilt.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const READY_MS = 10_000;
const ERROR_CHARS = 2_000;

export class Proxy {
  #errors = '';
  #stopping = false;
  /** Why it ended by itself, or null. */
  failure = null;

  /** Starts `command` before `upstream`; `permille` of the requests meet a fault drawn from `seed`. */
  constructor({ command, upstream, permille, seed }) {
    const args = ['--listen', '127.0.0.1:0', '--upstream', upstream, '--faults-permille', String(permille), '--seed', String(seed)];
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (data) => { this.#errors = (this.#errors + data).slice(-ERROR_CHARS); });
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(`can't run: ${error.message}`));
      this.child.once('exit', (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}: ${this.#errors.trim()}`));
    });
    this.ended.then((how) => { if (!this.#stopping) this.failure = `${command} ${how}`; });
  }

  /** Its URL, once it listens. */
  async url() {
    const listening = new Promise((resolve) => {
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        const address = /^listening on (\S+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
    });
    const timer = new AbortController();
    const late = new Promise((_, reject) => {
      const waiting = setTimeout(() => reject(new Error(`the fault proxy does not listen within ${READY_MS} ms`)), READY_MS);
      timer.signal.addEventListener('abort', () => clearTimeout(waiting));
    });
    try {
      const address = await Promise.race([listening, late, this.ended.then((how) => { throw new Error(`the fault proxy ${how}`); })]);
      this.address = `http://${address.replace(/^http:\/\//, '')}`;
      return this.address;
    } finally {
      timer.abort();
    }
  }

  /** What it did so far: `{ requests, faulted, … }`, all requests and those that met a fault. */
  async counts() {
    const answer = await fetch(`${this.address}/faults`);
    if (!answer.ok) throw new Error(`the fault proxy answers ${answer.status}`);
    return answer.json();
  }

  async stop() {
    this.#stopping = true;
    this.child.kill('SIGTERM');
    await this.ended;
  }
}
