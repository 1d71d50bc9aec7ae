#!/usr/bin/env node
// The Solidity compiler for forge: npm's solc behind the two options that forge asks a native compiler for.
// It reads files only through the standard-json input, so what it compiles is what forge hands it.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const solc = createRequire(import.meta.url)("solc");
const options = process.argv.slice(2);

if (options.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (options.includes("--standard-json")) {
  process.stdout.write(solc.compile(await text(process.stdin)));
} else {
  console.error("tools/solc.mjs: only --version and --standard-json are answered");
  process.exit(2);
}
