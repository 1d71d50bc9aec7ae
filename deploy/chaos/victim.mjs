// A process under supervision that is killed on purpose: started, asked whether it serves, killed -9, paused, started again, stopped in order.
//
// An exit that nobody asked for is remembered as a failure, and the process started again, as a service manager would, a bounded
// number of times.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

const HEALTH_POLL_MS = 25;
const HEALTH_ANSWER_MS = 2_000;
const OWN_EXITS_MAX = 5;
const LOG_TAIL_LINES = 15;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Victim {
  /** Exits that nobody asked for, each as text with the end of its log. */
  ownExits = [];
  /** How long each start took until the process answered, ms. */
  startsMs = [];
  kills = 0;
  #child = null;
  #exited = null;
  #killing = null;
  #stopping = null;
  #answered = false;

  /** `health`: URL that answers 2xx once it serves; `log`: file that its output is appended to; `readyMs`: the most a start may take. */
  constructor({ command, args, env = process.env, log, health, readyMs = 60_000 }) {
    Object.assign(this, { command, args, env, log, health, readyMs });
  }

  get pid() { return this.#child?.pid; }

  start() {
    this.#answered = false;
    this.startedAt = performance.now();
    const fd = openSync(this.log, 'a');
    const child = spawn(this.command, this.args, { env: this.env, stdio: ['ignore', fd, fd] });
    closeSync(fd);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve({ error }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.#exited.then((exit) => {
      const asked = this.#stopping === child || (this.#killing === child && exit.signal === 'SIGKILL');
      if (!asked) this.#ownExit(exit);
    });
  }

  #ownExit({ code, signal, error }) {
    const how = error ? `can't run: ${error.message}` : `ended by itself with ${signal ?? `code ${code}`}`;
    this.ownExits.push(`${this.command} ${how}; the end of its log:\n${this.#tail()}`);
    this.#child = null;
    if (!error && this.ownExits.length < OWN_EXITS_MAX) this.start();
  }

  #tail() {
    try {
      return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } catch {
      return '(no log)';
    }
  }

  /** Resolves once it serves; fails when it doesn't within `readyMs`, or is started no more. Returns false when `given()` came first. */
  async untilServing(given = () => false) {
    while (!given()) {
      if (!this.#child) throw new Error(`${this.command} is not started again after ${this.ownExits.length} exits of its own`);
      const asked = this.#child;
      const serves = await this.#asks();
      if (serves && asked === this.#child) {
        // Counted once per start, by whoever asks first.
        if (!this.#answered) this.startsMs.push(Math.round(performance.now() - this.startedAt));
        this.#answered = true;
        return true;
      }
      if (performance.now() - this.startedAt > this.readyMs) throw new Error(`${this.command} does not serve within ${this.readyMs} ms; the end of its log:\n${this.#tail()}`);
      await pause(HEALTH_POLL_MS);
    }
    return false;
  }

  async #asks() {
    try {
      return (await fetch(this.health, { signal: AbortSignal.timeout(HEALTH_ANSWER_MS) })).ok;
    } catch {
      return false;
    }
  }

  /** Kill -9, and wait until it is gone. False when it ended by itself before that, which is an exit of its own. */
  async kill() {
    const [child, exited] = [this.#child, this.#exited];
    if (!child || child.exitCode !== null || child.signalCode !== null) return false;
    this.#killing = child;
    child.kill('SIGKILL');
    const { signal } = await exited;
    if (signal !== 'SIGKILL') return false;
    this.kills += 1;
    return true;
  }

  /** SIGSTOP: it stays as it is, and knows nothing of the time that passes. */
  pause() { this.#child?.kill('SIGSTOP'); }

  /** SIGCONT. */
  resume() { this.#child?.kill('SIGCONT'); }

  /** SIGTERM, and wait for an orderly end; killed after `limitMs`. Returns why it was not orderly, or null. It is started no more by itself. */
  async stop(limitMs = 30_000) {
    const [child, exited] = [this.#child, this.#exited];
    this.#stopping = child;
    this.#child = null;
    if (!child) return 'it was not running';
    child.kill('SIGCONT'); // a paused one would not hear of it
    const late = setTimeout(() => child.kill('SIGKILL'), limitMs);
    child.kill('SIGTERM');
    const { code, signal } = await exited;
    clearTimeout(late);
    if (signal === 'SIGKILL') return `it did not stop within ${limitMs} ms after SIGTERM`;
    return code === 0 ? null : `it stopped with ${signal ?? `code ${code}`}; the end of its log:\n${this.#tail()}`;
  }
}
