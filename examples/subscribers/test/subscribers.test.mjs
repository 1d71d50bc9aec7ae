// Every worked subscriber, on one real broker with a real run's records: killed in the middle and resumed, among strangers' records and
// repetitions, and on logs that are not what they were.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { PYTHON, missing, run, start, startBroker } from './broker.mjs';
import { JOBS, RECEIPTS, doctored, expectedJobs, expectedReceipts, numbered, recordOf, recorded, republished, standing } from './journal.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const absent = missing();
// Where tests run for a merge nothing may be left out.
if (absent && process.env.CI === 'true') throw new Error(absent);
if (absent) console.error(`NOT TESTED: subscribers on a real broker: ${absent}`);
const skip = absent ?? false;
const RELAYER = process.env.RELAYER ?? join(process.env.CARGO_TARGET_DIR ?? join(process.env.HOME, '.cache/acurast-relayer/target'), 'debug/acurast-relayer');
const noRelayer = existsSync(RELAYER) ? false : `${RELAYER} is not built`;
if (noRelayer && process.env.CI === 'true') throw new Error(noRelayer);
if (noRelayer) console.error(`NOT TESTED: journal tail on a real broker: ${noRelayer}`);

const PROGRAMS = [
  { name: 'Python', command: (script) => [PYTHON, here(`../python/${script}.py`)] },
  { name: 'TypeScript', command: (script) => [process.execPath, here(`../typescript/dist/${script}.js`)] },
];

let broker;
let world;
const feed = async (lines) => {
  const { code, lines: [ends], stderr } = await run(PYTHON, [here('feed.py'), broker.brokers], { input: lines.map((line) => `${JSON.stringify(line)}\n`).join('') });
  assert.equal(code, 0, stderr);
  return JSON.parse(ends);
};
const partitionsOf = (lines) => lines.reduce((all, { topic, partition }) => ({ ...all, [topic]: Math.max(all[topic] ?? 0, partition + 1) }), {});

/** A subscriber with a state of its own. */
function subscriber({ name, command }, script, state = `${name}-${script}`) {
  const [program, file] = command(script);
  const place = join(broker.home, state);
  const follow = (...more) => [file, 'follow', '--brokers', broker.brokers, '--state', place, ...more];
  return {
    place,
    start: () => start(program, follow()),
    toEnd: () => run(program, follow('--until-end')),
    show: async () => {
      const { code, lines, stderr } = await run(program, [file, 'show', '--state', place]);
      assert.equal(code, 0, stderr);
      return JSON.parse(lines[0]);
    },
  };
}
const done = ({ code, stderr }) => assert.equal(code, 0, stderr);
/** Ended by itself, with a reason. */
const halted = ({ code, stderr }, reason) => {
  assert.equal(code, 1, stderr);
  assert.match(stderr, reason);
};

before(async () => {
  if (skip) return;
  const { lines, again } = republished(recorded());
  const changed = await doctored(lines);
  const all = numbered(changed.lines);
  // The first part of every partition, and the rest: a subscriber is killed in between.
  const counts = all.reduce((sizes, { topic, partition }) => sizes.set(`${topic}/${partition}`, (sizes.get(`${topic}/${partition}`) ?? 0) + 1), new Map());
  const early = ({ topic, partition, offset }) => offset < 0.6 * counts.get(`${topic}/${partition}`);
  world = { ...changed, again, all, early: all.filter(early), late: all.filter((line) => !early(line)) };
  broker = await startBroker();
  await feed([{ topics: partitionsOf(all) }, ...world.early]);
}, { timeout: 120_000 });
after(() => broker?.stop());

test('the second reader accepts the run, skips what strangers wrote, and finds a receipt for each execution that ended', { skip }, async () => {
  const { accepted, skipped, ended, known } = await expectedJobs(world.all);
  assert.ok(accepted > 100 && ended > 20, `${accepted} records, ${ended} executions`);
  assert.equal(skipped, world.strangers);
  const receipts = expectedReceipts(world.all);
  assert.equal(receipts.filter(({ kind }) => kind === 'receipt').length, ended);
  assert.equal(receipts.filter(({ kind }) => kind === 'job_receipt').length, known.events.job_closed);
});

test('subscribers that are killed while they follow go on where their stored state ends', { skip, timeout: 120_000 }, async () => {
  const running = await Promise.all(PROGRAMS.flatMap((program) => ['receipts', 'jobs'].map(async (script) => {
    const own = subscriber(program, script);
    const lines = script === 'receipts' ? expectedReceipts(world.early).length : (await expectedJobs(world.early)).accepted;
    const child = own.start();
    await child.seen(lines);
    child.kill('SIGKILL');
    assert.equal((await child.ended).code, 'SIGKILL');
    // A crash in the middle of a write leaves half a line behind.
    if (program.name === 'TypeScript') appendFileSync(own.place, '{"next":{"0":"99');
    return { own, script, lines, name: program.name };
  })));
  await feed(world.late);
  const jobs = await expectedJobs(world.all);
  const receipts = expectedReceipts(world.all);
  await Promise.all(running.map(async ({ own, script, lines, name }) => {
    const ended = await own.toEnd();
    done(ended);
    const known = await own.show();
    if (script === 'receipts') {
      assert.deepEqual(known.receipts, receipts, name);
      assert.equal(ended.lines.length, receipts.length - lines, `${name}: each receipt is new once`);
    } else {
      assert.deepEqual(known, jobs.known, name);
      assert.equal(ended.lines.length, jobs.accepted - lines, `${name}: each decision is taken once`);
    }
    const again = await own.toEnd();
    done(again);
    assert.deepEqual([again.lines, await own.show()], [[], known], `${name}: nothing new, nothing changed`);
  }));
});

test('subscribers that are there from the start and ones that come late know the same', { skip, timeout: 60_000 }, async () => {
  await Promise.all(PROGRAMS.flatMap((program) => ['receipts', 'jobs'].map(async (script) => {
    const late = subscriber(program, script, `${program.name}-${script}-late`);
    done(await late.toEnd());
    assert.deepEqual(await late.show(), await subscriber(program, script).show(), `${program.name} ${script}`);
  })));
});

test('receipts that are published again are the same ones', { skip, timeout: 60_000 }, async () => {
  await feed(world.all.filter(({ topic }) => topic === RECEIPTS).slice(0, 8));
  await Promise.all(PROGRAMS.map(async (program) => {
    const own = subscriber(program, 'receipts');
    const ended = await own.toEnd();
    done(ended);
    assert.deepEqual([ended.lines.length, (await own.show()).receipts], [0, expectedReceipts(world.all)]);
  }));
});

/** The kcat lines of the README, by what is said above them. */
function kcatLines() {
  const text = readFileSync(here('../README.md'), 'utf8');
  const block = text.split('## kcat')[1].match(/```sh\n([\s\S]*?)```/)[1];
  return Object.fromEntries(block.trim().split('\n').map((line) => line.split(/\s+# /)).map(([line, what]) => [what, line]));
}

test('the kcat lines of the README show what they say', { skip, timeout: 60_000 }, async () => {
  const lines = kcatLines();
  const sh = async (line, change = (text) => text) => {
    const result = await run('bash', ['-euo', 'pipefail', '-c', change(line)], { env: { BROKERS: broker.brokers, PROTO: here('../../../events/proto') } });
    done(result);
    return result.lines;
  };
  const log = numbered([...world.all, ...world.all.filter(({ topic }) => topic === RECEIPTS).slice(0, 8)]).filter(({ topic }) => topic === RECEIPTS);
  const placed = (own) => own.map(({ partition, offset, value }) => `${partition} ${offset} ${(value.length - 2) / 2}`).sort();
  assert.deepEqual((await sh(lines['partition, offset and bytes of every receipt'])).sort(), placed(log));
  assert.deepEqual((await sh(lines['the same of partition 0, from offset 5 on'])).sort(), placed(log.filter(({ partition, offset }) => partition === 0 && offset >= 5)));
  const since = lines['the same, what came since the last call'];
  const some = await sh(since, (line) => line.replace(' -e ', ' -e -c 7 '));
  assert.equal(some.length, 7);
  assert.deepEqual([...some, ...await sh(since)].sort(), placed(log));
  const decoded = await sh(lines['the first of partition 0, decoded']);
  const [{ kind }] = expectedReceipts(log.filter(({ partition, offset }) => partition === 0 && offset === 0));
  assert.equal(decoded[0], `${kind} {`);
  const said = await sh(lines['what records say of themselves: type, term, sequence, time']);
  const own = world.all.filter(({ topic, headers }) => topic === JOBS && headers.ce_type);
  for (const type of ['record', 'claim']) {
    const name = `com.acurast.relayer.${type}.v1`;
    assert.equal(said.filter((line) => line.includes(`ce_type=${name}`)).length, own.filter(({ headers }) => headers.ce_type === name).length);
  }
  assert.ok(own.length > 100);
});

test('journal tail shows every kind of topic on the brokers, from any offset, and strangers as what they are', { skip: skip || noRelayer, timeout: 60_000 }, async () => {
  const config = join(broker.home, 'relayer.toml');
  const brokers = JSON.stringify([broker.brokers]);
  writeFileSync(config, `data_dir = ${JSON.stringify(broker.home)}\n[acurast]\nurl = "ws://127.0.0.1:9"\n[journal]\nkind = "kafka"\n[journal.kafka]\nbrokers = ${brokers}\n`);
  const tail = async (topic, ...more) => {
    const result = await run(RELAYER, ['journal', 'tail', '--config', config, '--topic', topic, ...more]);
    done(result);
    return result.lines.map((line) => JSON.parse(line));
  };
  const log = numbered([...world.all, ...world.all.filter(({ topic }) => topic === RECEIPTS).slice(0, 8)]);
  const place = ({ topic, partition, offset }) => `${topic}/${partition}@${offset}`;
  const topics = [...new Set(log.map(({ topic }) => topic))];
  for (const family of ['source.', 'jobs.', 'lanes.', 'outputs.', 'receipts.', 'reputation.']) assert.ok(topics.some((topic) => topic.includes(family)), `nothing of ${family}`);
  await Promise.all(topics.map(async (topic) => {
    const own = log.filter((line) => line.topic === topic);
    const [shown, late, raw] = await Promise.all([tail(topic, '--json'), tail(topic, '--json', '--from', '5'), tail(topic, '--raw')]);
    assert.deepEqual(shown.map(place).sort(), own.map(place).sort());
    assert.deepEqual(late.map(place).sort(), own.filter(({ offset }) => offset >= 5).map(place).sort());
    assert.deepEqual(raw.map(({ value, ...at }) => `${place(at)} ${value}`).sort(), own.map(({ value, ...at }) => `${place(at)} ${value}`).sort());
    assert.equal(shown.filter(({ record }) => record.undecodable).length, topic === JOBS ? 3 : 0, topic);
  }));
});

test('a record that names another predecessor halts those who follow, and what they know stays', { skip, timeout: 60_000 }, async () => {
  const { term, sequence } = await standing(world.all.filter(({ topic, partition }) => topic === JOBS && partition === world.partition), `${JOBS}/${world.partition}`);
  const forked = recordOf({ term, writer: `0x${'bb'.repeat(16)}`, sequence, previous: `0x${'11'.repeat(32)}` });
  await feed([{ topic: JOBS, partition: world.partition, key: '0x', value: forked, headers: {} }]);
  await Promise.all(PROGRAMS.map(async (program) => {
    const own = subscriber(program, 'jobs');
    const known = await own.show();
    halted(await own.toEnd(), /names .*1111 as the one before it, but .* is; its writer saw another log/);
    halted(await own.toEnd(), /its writer saw another log/);
    assert.deepEqual(await own.show(), known);
  }));
});

test('offsets that jump halt those who follow', { skip, timeout: 60_000 }, async () => {
  // A transaction's marker takes an offset that no reader sees: on an authoritative topic nobody may use transactions.
  const [first, ...rest] = world.all.filter(({ topic, partition }) => topic === JOBS && partition === world.partition);
  const topic = 'jumped.jobs.v1';
  await feed([{ topics: { [topic]: 1 } }, { ...first, topic, partition: 0 }, { transaction: topic }, ...rest.slice(0, 3).map((line) => ({ ...line, topic, partition: 0 }))]);
  await Promise.all(PROGRAMS.map(async (program) => {
    const [command, file] = program.command('jobs');
    const place = join(broker.home, `${program.name}-jumped`);
    halted(await run(command, [file, 'follow', '--brokers', broker.brokers, '--state', place, '--topic', topic, '--until-end']), /offset 3 follows where 2 should/);
  }));
});

test('a log that was written anew, is shorter than what was read, or lost its begin halts those who follow', { skip, timeout: 90_000 }, async () => {
  const lines = world.all.filter(({ topic }) => topic === JOBS);
  const all = (check) => Promise.all(PROGRAMS.map(check));
  const jobsOf = (program) => subscriber(program, 'jobs');
  const anew = async (content) => feed([{ delete: JOBS }, { topics: { [JOBS]: partitionsOf(lines)[JOBS] } }, ...content]);
  const filler = { topic: JOBS, partition: world.partition, key: '0x', value: '0xff', headers: {} };

  await anew([filler, ...lines]);
  await all(async (program) => halted(await jobsOf(program).toEnd(), /another record stands where the last accepted one stood/));
  await anew(lines.slice(0, 20));
  await all(async (program) => halted(await jobsOf(program).toEnd(), /the log ends at offset \d+, and all before \d+ was read/));
  await feed([{ trim: JOBS, partition: lines[0].partition, before: 3 }]);
  await all(async (program) => halted(await subscriber(program, 'jobs', `${program.name}-new`).toEnd(), /the log begins at offset 3, and 0 is to be read next/));
});

test('a shortened derived log stops those who follow: what is missing has to be derived again', { skip, timeout: 60_000 }, async () => {
  await feed([{ delete: RECEIPTS }, { topics: { [RECEIPTS]: partitionsOf(world.all)[RECEIPTS] } }]);
  await Promise.all(PROGRAMS.map(async (program) => halted(await subscriber(program, 'receipts').toEnd(), /the log ends at offset 0, and all before \d+ was read/)));
});
