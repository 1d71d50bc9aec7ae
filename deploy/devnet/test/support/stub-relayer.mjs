// Stands for the relayer's outputs API in this folder's own tests, where what is tested is the workload: it answers as the
// protocol says and remembers what it got. It is late, away and forgetful on purpose.
import { createServer } from 'node:http';

import { settlementId } from '../../protocol.mjs';

/**
 * Starts on a free loopback port. Each output is answered with 503 at first, then accepted, and has a transaction hash from the
 * third question on, unless `withoutHash(output)`. `refuse(output)` answers 409. `jobs()` is what GET /v1/jobs lists.
 */
export async function startStub({ withoutHash = () => false, refuse = () => false, jobs = () => [] } = {}) {
  const stub = { asked: new Map(), accepted: new Map(), conflicts: [], port: 0 };
  const server = createServer((request, response) => {
    const answer = (status, body, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(body));
    };
    if (request.method === 'GET') {
      answer(200, { jobs: jobs() });
      return;
    }
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const raw = Buffer.concat(chunks).toString();
      const output = JSON.parse(raw);
      const key = `${output.assignment_id}/${output.execution}`;
      const times = (stub.asked.get(key) ?? 0) + 1;
      stub.asked.set(key, times);
      if (refuse(output)) {
        answer(409, { error: 'another output was accepted' });
      } else if (times === 1) {
        answer(503, { error: 'unknown assignment' }, { 'retry-after': '1' });
      } else {
        if (stub.accepted.has(key) && stub.accepted.get(key) !== raw) stub.conflicts.push(key);
        stub.accepted.set(key, raw);
        const id = settlementId(output.assignment_id, output.execution);
        const done = times > 2 && !withoutHash(output);
        answer(done ? 200 : 202, { settlement_id: id, status: done ? 'included' : 'accepted', ...(done && { transaction_hash: `0x${'ab'.repeat(32)}` }) });
      }
    });
  });
  stub.listen = (port = 0) => new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', () => { stub.port = server.address().port; resolve(); });
  });
  stub.close = () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
  await stub.listen();
  stub.url = `http://127.0.0.1:${stub.port}`;
  return stub;
}
