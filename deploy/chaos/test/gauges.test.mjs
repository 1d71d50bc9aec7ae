import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { gaugeBy, gaugesOf } from '../gauges.mjs';

const METRICS = `# HELP acurast_relayer_owned Whether this replica owns a partition.
# TYPE acurast_relayer_owned gauge
acurast_relayer_owned{partition="acurast.jobs.v1/0"} 1
acurast_relayer_owned{partition="acurast.jobs.v1/11"} 0
acurast_relayer_applied_sequence{partition="acurast.jobs.v1/0"} 42
acurast_relayer_applied_sequence{partition="acurast.jobs.v1/11"} 0
acurast_relayer_heartbeat{stage="settle",subject="a \\"b\\""} 1700000000000
# EOF
`;
let status = 200;
const server = createServer((_, response) => { response.writeHead(status); response.end(METRICS); }).listen(0, '127.0.0.1');
before(async () => { if (!server.listening) await once(server, 'listening'); });
after(() => server.close());

test('a gauge is read by any of its labels, and by no other name', () => {
  assert.deepEqual([...gaugeBy(METRICS, 'acurast_relayer_heartbeat', 'stage')], [['settle', 1_700_000_000_000]]);
  assert.deepEqual([...gaugeBy(METRICS, 'acurast_relayer', 'partition')], []);
});

test('what a replica owns and applied is what its gauges say', async () => {
  const { known, owned, applied } = await gaugesOf(`http://127.0.0.1:${server.address().port}`);
  assert.deepEqual([[...known], [...owned], applied.get('acurast.jobs.v1/0')], [['acurast.jobs.v1/0', 'acurast.jobs.v1/11'], ['acurast.jobs.v1/0'], 42]);
});

test('one that does not answer, or not well, owns nothing that anybody knows of', async () => {
  status = 503;
  assert.equal(await gaugesOf(`http://127.0.0.1:${server.address().port}`), null);
  assert.equal(await gaugesOf('http://127.0.0.1:9'), null);
});
