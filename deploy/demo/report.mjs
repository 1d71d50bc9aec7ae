// Reports in the one form that every target writes: a table for people, a JSON file for programs. What it claims holds exactly when
// there is no failure.
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GIB = 2 ** 30;
/** Failures that a table shows; the file has all of them. */
const SHOWN_MAX = 30;

/** The commit that is checked out, marked when the working copy differs from it; `unknown` outside a repository. */
export function revision() {
  const git = (...args) => execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', 'HEAD')}${changed ? '-dirty' : ''}`;
  } catch {
    return 'unknown';
  }
}

/** What it ran on: cores, memory, system; a figure without it means little. */
export const host = () => `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${(totalmem() / GIB).toFixed(1)} GiB, ${platform()} ${release()}`;

/** The report of a run that began at `started` (a Date) and ends now. A figure is a number, a string or a bool. */
export function report({ target, started, figures, failures }) {
  for (const [name, value] of Object.entries(figures)) {
    if (!['number', 'string', 'boolean'].includes(typeof value)) throw new TypeError(`figure ${name} of ${target} is ${value}`);
  }
  const seconds = Number(((Date.now() - started.getTime()) / 1000).toFixed(1));
  return { target, revision: revision(), host: host(), started: started.toISOString(), seconds, holds: failures.length === 0, figures, failures };
}

/** The table that a target ends with. */
export function table({ target, seconds, holds, figures, failures, revision: of }) {
  const width = Math.max(...Object.keys(figures).map((name) => name.length), target.length);
  const line = (name, value) => `  ${name.replaceAll('_', ' ').padEnd(width)}  ${value}`;
  const rule = '─'.repeat(width + 24);
  return [
    rule, line(target, holds ? 'HOLDS' : 'DOES NOT HOLD'), rule, ...Object.entries(figures).map(([name, value]) => line(name, value)), rule,
    line('seconds', seconds), line('revision', of), ...failures.slice(0, SHOWN_MAX).map((text) => `  ✗ ${text}`),
    ...(failures.length > SHOWN_MAX ? [`  ✗ and ${failures.length - SHOWN_MAX} more in the report`] : []),
  ].join('\n');
}

/** Writes `<directory>/<target>.json`, whole or not at all, and returns its path. `$ACURAST_REPORTS`, or target/reports, by default. */
export function write(value, directory = process.env.ACURAST_REPORTS ?? join(ROOT, 'target/reports')) {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${value.target}.json`);
  writeFileSync(`${file}.part`, `${JSON.stringify(value, null, 1)}\n`);
  renameSync(`${file}.part`, file);
  return file;
}
