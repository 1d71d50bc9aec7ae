// The workload as a child process: what it has done so far, as a share, and how it ended.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Steps that most waves take; a wave with more simply stays at its last share. */
const STEPS_PER_WAVE = 9;
const ERROR_CHARS = 4_000;

export class Work {
  #share = 0;
  #inWave = { wave: 0, steps: 0 };
  #errors = '';
  ended = null;

  /** Starts it; it prints one JSON object per step, with `wave` while a wave runs. `waves`: how many there are. */
  constructor({ command, args, env, waves, told = () => {} }) {
    Object.assign(this, { waves, told });
    this.child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface({ input: this.child.stdout, crlfDelay: Infinity }).on('line', (line) => this.#line(line));
    this.child.stderr.on('data', (data) => { this.#errors = (this.#errors + data).slice(-ERROR_CHARS); });
    this.done = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(error.message));
      this.child.once('close', (code, signal) => resolve(code === 0 ? null : `ended with ${signal ?? `code ${code}`}: ${this.#errors.trim()}`));
    }).then((failure) => { this.ended = { failure }; });
  }

  #line(line) {
    let step;
    try {
      step = JSON.parse(line);
    } catch {
      return; // a library's remark, not a step
    }
    if (step.wave > this.#inWave.wave) this.#inWave = { wave: step.wave, steps: 0 };
    this.#inWave.steps += 1;
    const within = Math.min(this.#inWave.steps / STEPS_PER_WAVE, 1);
    const share = step.wave ? (step.wave - 1 + within) / this.waves : 1;
    this.#share = Math.max(this.#share, Math.min(share, 1));
    this.told(step);
  }

  /** The share of the work that is done, 0 to 1. */
  get progress() { return this.#share; }
  get over() { return this.ended !== null; }

  /** Ends it early. */
  async stop() {
    if (!this.over) this.child.kill('SIGTERM');
    await this.done;
  }
}
