// What a subscriber knows, as a file of lines that is only appended to. A line holds what was made of a batch and the position
// after it: both are there, or neither. With a database this is one transaction, and the ids that are known a unique index.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';

export class Ledger<Line> {
  #file: string;
  #descriptor: number | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  /** All lines so far. A last one that a crash cut short never happened: its batch is read again. */
  lines(): Line[] {
    if (!existsSync(this.#file)) return [];
    const bytes = readFileSync(this.#file);
    const whole = bytes.lastIndexOf('\n') + 1;
    if (whole < bytes.length) truncateSync(this.#file, whole);
    return bytes.subarray(0, whole).toString().split('\n').filter(Boolean).map((line) => JSON.parse(line) as Line);
  }

  /** Durable once it returns. */
  append(line: Line): void {
    this.#descriptor ??= openSync(this.#file, 'a');
    writeSync(this.#descriptor, `${JSON.stringify(line)}\n`);
    fsyncSync(this.#descriptor);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }
}
