#!/usr/bin/env node
// Prints as many free loopback ports as asked for, on one line.
import { createServer } from 'node:net';

const count = Number(process.argv[2] ?? 1);
if (!(Number.isSafeInteger(count) && count > 0 && count <= 16)) {
  console.error('usage: ports.mjs [1 to 16]');
  process.exit(2);
}
// All are held at once, so no two are the same.
const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
  const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => resolve(server));
})));
console.log(servers.map((server) => server.address().port).join(' '));
servers.forEach((server) => server.close());
