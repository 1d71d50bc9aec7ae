import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { report, table, write } from '../report.mjs';

const directory = mkdtempSync(join(tmpdir(), 'acurast-report-'));
after(() => rmSync(directory, { recursive: true }));
const started = new Date(Date.now() - 2_000);
const figures = { jobs: 24, settled_twice: 0, source: 'runtime', digests_equal: true };

test('a report has exactly the fields of its form, and holds when nothing failed', () => {
  const file = write(report({ target: 'demo', started, figures, failures: [] }), join(directory, 'new'));
  const read = JSON.parse(readFileSync(file));
  assert.deepEqual(Object.keys(read), ['target', 'revision', 'host', 'started', 'seconds', 'holds', 'figures', 'failures']);
  assert.equal(read.holds, true);
  assert.deepEqual(read.figures, figures);
  assert.ok(read.seconds >= 2 && read.seconds < 60);
  assert.match(read.revision, /^([0-9a-f]{40}(-dirty)?|unknown)$/);
  assert.deepEqual(readdirSync(join(directory, 'new')), ['demo.json']);
});

test('one failure and it does not hold, in the file and in the table', () => {
  const value = report({ target: 'demo', started, figures, failures: ['job 3 is lost'] });
  assert.equal(value.holds, false);
  assert.match(table(value), /DOES NOT HOLD[\s\S]*settled twice +0[\s\S]*✗ job 3 is lost/);
});

test('a figure that is neither number, string nor bool is a mistake of the target', () => {
  for (const value of [undefined, null, { a: 1 }, 1n]) assert.throws(() => report({ target: 'demo', started, figures: { value }, failures: [] }), /figure value of demo/);
});
