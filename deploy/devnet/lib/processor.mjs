// A processor's dealings with the relayer: it submits a signed output until it is answered, and says what to report on Acurast.
//
// True to a real device: a relayer that is down, restarting or doesn't know the assignment yet is asked again, with a bound; the
// same output always goes out with the same bytes; an answer without a transaction hash is asked for again while there is time.
import { outputDigest, signSecp256k1 } from '../protocol.mjs';
import { secretKey } from './keys.mjs';

const REQUEST_MS = 10_000;
const BACKOFF_MS = { first: 50, max: 1_000 };
/** A Retry-After is obeyed up to this: the devnet's time runs faster than the relayer's. */
const RETRY_AFTER_MS_MAX = 2_000;
/** Between questions for the transaction hash of an accepted output. */
const POLL_MS = 200;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** The body of `POST /v1/outputs`. `ss58` is the processor's address, `domain` the settlement contract's. */
export function signedOutput({ domain, ss58, assignmentId, execution, payload }) {
  const digest = outputDigest(domain, assignmentId, execution, payload);
  return { assignment_id: assignmentId, execution, payload, signature: signSecp256k1(digest, secretKey('SECP256k1', ss58)) };
}

/** One request: `{ status, body, retryAfterMs }`, or `{ status: 0 }` when the relayer can't be reached. */
async function post(url, body) {
  try {
    const response = await fetch(url, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await response.text();
    let answer;
    try { answer = JSON.parse(text); } catch { answer = { error: text.slice(0, 500) }; }
    return { status: response.status, body: answer, retryAfterMs: Number(response.headers.get('retry-after')) * 1_000 || 0 };
  } catch {
    return { status: 0 }; // refused, reset or late: the relayer may be restarting
  }
}

/**
 * Submits an output to any of the relayers and waits for the transaction hash while `timeLeft()`; one that is down or can't take it now makes it
 * go on to the next. Returns `{ settlement_id, transaction_hash?, status,
 * attempts }`, or `{ refused: status, error }` when the relayer refuses it. `accepted(answer)` is called at the first 2xx.
 * Fails when there was no answer within `limitMs` of real time.
 */
export async function submit({ relayers, output, timeLeft, limitMs, accepted = () => {} }) {
  let turn = Number.parseInt(output.assignment_id.slice(-6), 16); // spread evenly, and the same in every run
  const deadline = performance.now() + limitMs;
  let backoff = BACKOFF_MS.first;
  let answer = null;
  for (let attempts = 1; ; attempts++) {
    const { status, body, retryAfterMs } = await post(`${relayers[turn % relayers.length]}/v1/outputs`, output);
    if (status >= 200 && status < 300) {
      if (!/^0x[0-9a-f]{64}$/.test(body.settlement_id ?? '')) throw new Error(`the relayer answered ${status} without a settlement_id: ${JSON.stringify(body)}`);
      if (!answer) accepted(body);
      if (answer && answer.settlement_id !== body.settlement_id) throw new Error(`two answers for one output: ${answer.settlement_id}, ${body.settlement_id}`);
      answer = { ...body, attempts };
      if (body.transaction_hash || !timeLeft()) return answer;
      backoff = BACKOFF_MS.first;
      await pause(POLL_MS);
    } else if (status !== 0 && status !== 429 && status < 500) {
      return { refused: status, error: body.error ?? body, attempts };
    } else {
      if (answer && !timeLeft()) return answer; // it was accepted once; nothing more is needed to report it
      if (performance.now() > deadline) throw new Error(`no answer to the output of ${output.assignment_id} execution ${output.execution} within ${limitMs} ms (last status ${status})`);
      turn += 1;
      // Another relayer may have what this one lacks: it is asked soon, and only when all were asked what they said is obeyed.
      await pause(turn % relayers.length === 0 ? Math.min(retryAfterMs || backoff, RETRY_AFTER_MS_MAX) : BACKOFF_MS.first);
      backoff = Math.min(backoff * 2, BACKOFF_MS.max);
    }
  }
}
