// Stands for the relayer in this folder's own tests: serves /healthz on PORT, some time after its start, and writes a line to FILE at each.
// Modes: `serve`; `dies` ends by itself soon after it serves, at its first start only; `broken` ends at once; `deaf` ignores SIGTERM;
// `slow` takes long to serve.
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, file, mode = 'serve'] = process.argv.slice(2);
appendFileSync(file, `started ${process.pid}\n`);
if (mode === 'broken') {
  console.error('the stand-in is broken');
  process.exit(3);
}
const first = readFileSync(file, 'utf8').trim().split('\n').length === 1;
process.on('SIGTERM', () => { if (mode !== 'deaf') { appendFileSync(file, 'stopped in order\n'); process.exit(0); } });
setTimeout(() => createServer((_, response) => {
  response.end('ok');
  if (mode === 'dies' && first) setTimeout(() => { console.error('the stand-in dies'); process.exit(7); }, 30);
}).listen(Number(port), '127.0.0.1'), mode === 'slow' ? 60_000 : 40);
