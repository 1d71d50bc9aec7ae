// Whether the relayer has closed jobs: `GET /v1/jobs` answers `{ "jobs": [{ "job_key", "closed", … }], "next"?: cursor }`; with
// `next`, the following page is at `?after=<next>`.

const REQUEST_MS = 10_000;
const PAGES_MAX = 1_000;

/** Which of the jobs are open, and which the relayer doesn't know; `error` when it can't be asked. */
export async function allClosed(relayer, jobKeys) {
  const closed = new Map();
  try {
    let cursor;
    for (let page = 0; page < PAGES_MAX; page++) {
      const query = cursor === undefined ? '' : `?after=${encodeURIComponent(cursor)}`;
      const response = await fetch(`${relayer}/v1/jobs${query}`, { signal: AbortSignal.timeout(REQUEST_MS) });
      if (!response.ok) return { open: [], unknown: [], error: `GET /v1/jobs answers ${response.status}` };
      const { jobs, next } = await response.json();
      for (const job of jobs) closed.set(job.job_key, job.closed === true);
      if (next === undefined || next === null) break;
      cursor = next;
    }
  } catch (error) {
    return { open: [], unknown: [], error: `the relayer doesn't answer (${error.cause?.code ?? error.message})` };
  }
  return { open: jobKeys.filter((key) => closed.get(key) === false), unknown: jobKeys.filter((key) => !closed.has(key)) };
}
