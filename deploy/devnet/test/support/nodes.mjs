// Real nodes for a test, on free ports and in a directory of their own. Tests that need them say why when they can't have them.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** Why the Acurast runtime can't run here, or false. */
export function withoutSpec() {
  return spawnSync(here('fetch-spec.sh'), ['--no-download']).status === 0 ? false : 'no Acurast chain spec here (deploy/devnet/fetch-spec.sh)';
}

/** A devnet of its own: `sh(command, name)` runs devnet.sh, `stop()` ends and removes everything. */
export async function devnet() {
  const directory = mkdtempSync(join(tmpdir(), 'acurast-devnet-'));
  const ports = { ACURAST_PORT: String(await freePort()), ANVIL_PORT: String(await freePort()) };
  const env = { ...process.env, ...ports, ACURAST_DEVNET_DIR: directory };
  const sh = (...args) => execFileSync(here('devnet.sh'), args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    directory, env, sh, acurast: `ws://127.0.0.1:${ports.ACURAST_PORT}`, anvil: `http://127.0.0.1:${ports.ANVIL_PORT}`,
    stop: () => { sh('down'); rmSync(directory, { recursive: true }); },
  };
}
