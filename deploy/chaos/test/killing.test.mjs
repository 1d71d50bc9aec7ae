import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { keepKilling } from '../killing.mjs';
import { Moments } from '../moments.mjs';
import { Victim } from '../victim.mjs';

const directory = mkdtempSync(join(tmpdir(), 'acurast-chaos-'));
after(() => rmSync(directory, { recursive: true }));
const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
});
let files = 0;
async function standIn(mode, options = {}) {
  const port = await freePort();
  const file = join(directory, `${files++}`);
  const victim = new Victim({
    command: process.execPath, args: [fileURLToPath(new URL('stand-in.mjs', import.meta.url)), String(port), file, mode],
    log: `${file}.log`, health: `http://127.0.0.1:${port}/healthz`, ...options,
  });
  victim.start();
  return { victim, lines: () => readFileSync(file, 'utf8').trim().split('\n') };
}
/** Moments that come soon, so that a test needs no patience. */
const soon = (...recovering) => { let n = 0; return { next: () => ({ recovering: recovering[n++] ?? false, delayMs: 20 }) }; };

test('a seed draws the same moments again, most of them while it serves, all within their bounds', () => {
  const draw = (seed) => { const moments = new Moments(seed); return Array.from({ length: 500 }, () => moments.next()); };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  const serving = draw(7).filter(({ recovering }) => !recovering);
  assert.ok(serving.length > 350 && serving.length < 450, `${serving.length}`);
  assert.ok(serving.every(({ delayMs }) => delayMs >= 200 && delayMs <= 2_500));
  assert.ok(Math.max(...serving.map(({ delayMs }) => delayMs)) > 2_300 && Math.min(...serving.map(({ delayMs }) => delayMs)) < 400);
  assert.ok(draw(7).filter(({ recovering }) => recovering).every(({ delayMs }) => delayMs >= 20 && delayMs <= 800));
});

test('it is killed as often as asked, started again each time, and stopped in order', async () => {
  const { victim, lines } = await standIn('serve');
  const inRecovery = await keepKilling({ victim, moments: soon(false, true, true, false), kills: 6, progress: () => 1, over: () => false });
  assert.deepEqual([victim.kills, inRecovery], [6, 2]);
  await victim.untilServing();
  assert.equal(await victim.stop(), null);
  assert.deepEqual(victim.ownExits, []);
  assert.equal(lines().at(-1), 'stopped in order');
  // A kill may come before the stand-in writes its line: one more start than kills, less those.
  const starts = lines().filter((line) => line.startsWith('started')).length;
  assert.ok(starts >= 5 && starts <= 7, `${starts}`);
});

test('kills are spread over the work: none comes before its share of the work is done', async () => {
  const { victim } = await standIn('serve');
  let progress = 0;
  const seen = [];
  const work = setInterval(() => { progress = Math.min(progress + 0.02, 1); }, 40);
  await keepKilling({ victim, moments: soon(), kills: 5, progress: () => progress, over: () => false, told: ({ kill }) => seen.push([kill, progress]) });
  clearInterval(work);
  await victim.stop();
  assert.equal(seen.length, 5);
  for (const [kill, at] of seen) assert.ok(at >= (kill - 1) / 5 - 0.05, `kill ${kill} at ${at}`);
});

test('killing ends when the work is over, with fewer kills', async () => {
  const { victim } = await standIn('serve');
  await keepKilling({ victim, moments: soon(), kills: 1_000, progress: () => 1, over: () => victim.kills >= 2 });
  assert.equal(victim.kills, 2);
  await victim.stop();
});

test('an exit of its own is remembered with the end of its log, and it is started again', async () => {
  const { victim, lines } = await standIn('dies');
  await victim.untilServing();
  while (victim.ownExits.length === 0) await new Promise((resolve) => { setTimeout(resolve, 10); });
  await victim.untilServing();
  assert.equal(await victim.stop(), null);
  assert.equal(victim.ownExits.length, 1);
  assert.match(victim.ownExits[0], /ended by itself with code 7[\s\S]*the stand-in dies/);
  assert.equal(lines().filter((line) => line.startsWith('started')).length, 2);
});

test('one that always ends by itself is given up, with the reason', async () => {
  const { victim } = await standIn('broken');
  await assert.rejects(victim.untilServing(), /not started again after 5 exits/);
  assert.match(victim.ownExits[0], /code 3[\s\S]*the stand-in is broken/);
  assert.equal(await victim.stop(), 'it was not running');
});

test('one that does not serve in time, and one that does not stop in time, are failures', async () => {
  const slow = await standIn('slow', { readyMs: 200 });
  await assert.rejects(slow.victim.untilServing(), /does not serve within 200 ms/);
  await slow.victim.stop();
  const deaf = await standIn('deaf');
  await deaf.victim.untilServing();
  assert.match(await deaf.victim.stop(300), /did not stop within 300 ms/);
});

test('a program that is not there is said to be', async () => {
  const victim = new Victim({ command: join(directory, 'nothing'), args: [], log: join(directory, 'nothing.log'), health: 'http://127.0.0.1:9/' });
  victim.start();
  await assert.rejects(victim.untilServing(), /not started again/);
  assert.match(victim.ownExits[0], /can't run/);
});

test('one that is paused does not answer, goes on when it is resumed, and can be stopped and started again', async () => {
  const { victim, lines } = await standIn('serve');
  await victim.untilServing();
  const answers = async () => { try { return (await fetch(victim.health, { signal: AbortSignal.timeout(200) })).ok; } catch { return false; } };
  victim.pause();
  assert.equal(await answers(), false);
  victim.resume();
  await victim.untilServing();
  assert.equal(await answers(), true);
  victim.pause();
  assert.equal(await victim.stop(), null, 'a paused one hears of it too');
  victim.start();
  await victim.untilServing();
  assert.equal(await victim.stop(), null);
  assert.deepEqual(victim.ownExits, []);
  assert.deepEqual(lines().map((line) => line.split(' ')[0]), ['started', 'stopped', 'started', 'stopped']);
});
