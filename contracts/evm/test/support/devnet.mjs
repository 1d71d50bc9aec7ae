// A real node for the charge tests, and the parts that play attester, processor and relayer on it.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  concat, createPublicClient, createWalletClient, decodeEventLog, defineChain, encodeAbiParameters, http, keccak256,
  pad, stringToHex, toHex, zeroHash,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";

const MNEMONIC = "test test test test test test test test test test test junk";
const root = new URL("../../", import.meta.url);
const STARTUP_MS_MAX = 20_000;

export const account = (index) => mnemonicToAccount(MNEMONIC, { addressIndex: index });
export const randomAccount = () => privateKeyToAccount(generatePrivateKey());

/** ABI and bytecode that forge wrote for a contract. */
export function artifact(name) {
  const { abi, bytecode } = JSON.parse(readFileSync(new URL(`out/${name}.sol/${name}.json`, root), "utf8"));
  return { abi, bytecode: bytecode.object };
}

/** Starts anvil with Prague's rules on a free loopback port; `stop()` ends it. */
export async function startAnvil() {
  const program = fileURLToPath(new URL("node_modules/@foundry-rs/anvil/bin.mjs", root));
  const node = spawn(
    process.execPath,
    [program, "--host", "127.0.0.1", "--port", "0", "--hardfork", "prague", "--mnemonic", MNEMONIC],
    { env: { ...process.env, TARGET_TOOL: "anvil" }, stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = new Promise((resolve) => node.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`anvil did not listen within ${STARTUP_MS_MAX} ms`)), STARTUP_MS_MAX);
    node.once("exit", (code) => reject(new Error(`anvil ended with ${code} before it listened`)));
    createInterface({ input: node.stdout }).on("line", (line) => {
      const match = /Listening on (127\.0\.0\.1:\d+)/.exec(line);
      if (match) {
        clearTimeout(timer);
        resolve(`http://${match[1]}`);
      }
    });
  });
  const chain = defineChain({
    id: 31337,
    name: "anvil",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
  const transport = http(url);
  const reader = createPublicClient({ chain, transport, pollingInterval: 20 });
  const wallet = createWalletClient({ chain, transport });
  const confirm = async (hash) => {
    const receipt = await reader.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`transaction ${hash} reverted`);
    return receipt;
  };
  return {
    reader,
    confirm,
    async deploy(from, name, args) {
      const receipt = await confirm(await wallet.deployContract({ account: from, ...artifact(name), args }));
      return { address: receipt.contractAddress, abi: artifact(name).abi };
    },
    /** Sends one call and waits for it. `fees` replaces viem's own estimate. */
    async send(from, contract, functionName, args, fees = {}) {
      return confirm(await wallet.writeContract({ account: from, ...contract, functionName, args, ...fees }));
    },
    read: (contract, functionName, args = []) => reader.readContract({ ...contract, functionName, args }),
    async stop() {
      node.kill("SIGTERM");
      await exited;
    },
  };
}

const LEAF_KIND = keccak256(stringToHex("acurast/leaf/assignment/1"));
const LEAF_TYPES = ["bytes32", "bytes32", "bytes32", "uint128", "uint8", "bytes32", "uint64", "uint64", "uint64", "uint64"];

/** Leaf hash of an assignment. */
export function leafOf(a) {
  const fields = [
    LEAF_KIND, a.assignmentId, a.escrowId, a.jobId, a.keyType, a.signerKey, a.firstExecution, a.executions, a.notAfter, a.bit,
  ];
  return keccak256(keccak256(encodeAbiParameters(LEAF_TYPES.map((type) => ({ type })), fields)));
}

/** Root and proofs of a tree of sorted pairs, laid out as OpenZeppelin's standard tree. */
export function treeOf(leaves) {
  const nodes = new Array(2 * leaves.length - 1);
  leaves.forEach((leaf, index) => (nodes[nodes.length - 1 - index] = leaf));
  for (let at = nodes.length - 1 - leaves.length; at >= 0; at--) {
    nodes[at] = keccak256(concat([nodes[2 * at + 1], nodes[2 * at + 2]].sort()));
  }
  const proofs = leaves.map((_, index) => {
    const proof = [];
    for (let at = nodes.length - 1 - index; at > 0; at = (at - 1) >> 1) proof.push(nodes[at % 2 ? at + 1 : at - 1]);
    return proof;
  });
  return { root: nodes[0], proofs };
}

/** A settlement contract with one attester and one relayer in lane 7, and everything that jobs need. */
export async function startWorld() {
  const chain = await startAnvil();
  const [admin, relayer, consumer] = [0, 1, 2].map(account);
  const attester = randomAccount();
  const processor = randomAccount();
  const settlement = await chain.deploy(admin, "AcurastSettlement", [admin.address, [attester.address], 1, 64, 3600n]);
  await chain.send(admin, settlement, "grantRelayer", [relayer.address, 7]);
  const domain = { name: "Acurast Settlement", version: "1", chainId: 31337, verifyingContract: settlement.address };
  const lane = 7n << 48n;
  let nextBit = lane;
  let nextBatch = lane;
  let nextSalt = 0n;
  let nextJob = 0;
  const escrows = [];

  const world = {
    chain, admin, relayer, consumer, settlement,

    /** Deploys a target, binds it and opens an account for it. */
    async openAccount(targetName, caps = {}, value = 10n ** 18n) {
      const target = await chain.deploy(consumer, targetName, [settlement.address]);
      const ownerKey = keccak256(target.address);
      await chain.send(consumer, settlement, "bindTarget", [target.address, ownerKey]);
      const { timestamp } = await chain.reader.getBlock();
      const all = {
        maxFeePerGas: 10n ** 12n, maxPriorityFee: 10n ** 11n, callGasLimit: 1_000_000n, maxPayload: 100_000,
        maxCharge: 10n ** 17n, modes: 1, ...caps,
      };
      const salt = pad(toHex(nextSalt++), { size: 32 });
      const receipt = await chain.send(
        consumer, settlement, "openEscrow", [target.address, ownerKey, all, timestamp + 1_000_000n, salt], { value },
      );
      const { args } = world.events(receipt).find(({ eventName }) => eventName === "EscrowOpened");
      escrows.push(args.escrowId);
      return { target, escrowId: args.escrowId };
    },

    assignment(account_, fields = {}) {
      const executions = fields.executions ?? 100n;
      const bit = nextBit;
      nextBit += executions + 1n;
      const jobId = BigInt(++nextJob);
      return {
        assignmentId: keccak256(toHex(jobId)), escrowId: account_.escrowId, jobId, keyType: 0,
        signerKey: pad(processor.address, { size: 32 }), firstExecution: 0n, executions,
        notAfter: 9_000_000_000_000n, bit, ...fields,
      };
    },

    /** Has the attester sign a root over the assignments and posts it. */
    async postRoot(assignments, fees = {}) {
      const tree = treeOf(assignments.map(leafOf));
      const root = {
        root: tree.root, batch: nextBatch++, leaves: assignments.length, lockedUntil: 9_000_000_000_000n,
        sourceBlock: 1n, sourceBlockHash: zeroHash,
      };
      const signature = await attester.signTypedData({
        domain,
        types: {
          Root: [
            { name: "root", type: "bytes32" }, { name: "batch", type: "uint64" }, { name: "leaves", type: "uint32" },
            { name: "lockedUntil", type: "uint64" }, { name: "sourceBlock", type: "uint64" },
            { name: "sourceBlockHash", type: "bytes32" },
          ],
        },
        primaryType: "Root",
        message: root,
      });
      const receipt = await chain.send(relayer, settlement, "postRoot", [root, [signature]], fees);
      return { receipt, batch: root.batch, proofOf: (a) => tree.proofs[assignments.indexOf(a)] };
    },

    /** An item with the processor's signature. */
    async item(root, assignment, execution, payload) {
      const signature = await processor.signTypedData({
        domain,
        types: {
          Output: [
            { name: "assignmentId", type: "bytes32" }, { name: "execution", type: "uint64" },
            { name: "payloadHash", type: "bytes32" },
          ],
        },
        primaryType: "Output",
        message: { assignmentId: assignment.assignmentId, execution, payloadHash: keccak256(payload) },
      });
      return { batch: root.batch, assignment, proof: root.proofOf(assignment), execution, payload, signature };
    },

    /** Delivers. Nodes estimate at a gas price of zero, where charging costs less: hence the tenth on top. */
    async fulfill(items, fees = {}) {
      const call = { account: relayer, ...settlement, functionName: "fulfillBatch", args: [items] };
      const gas = fees.gas ?? ((await chain.reader.estimateContractGas(call)) * 11n) / 10n;
      return chain.send(relayer, settlement, "fulfillBatch", [items], { ...fees, gas });
    },

    events: (receipt) =>
      receipt.logs
        .filter(({ address }) => address.toLowerCase() === settlement.address.toLowerCase())
        .map((log) => decodeEventLog({ abi: settlement.abi, ...log })),

    /** What a transaction charged less root shares, in all and by account. */
    charged(receipt) {
      const charges = world.events(receipt).filter(({ eventName }) => eventName === "Charged").map(({ args }) => args);
      return { total: charges.reduce((sum, { itemsAmount }) => sum + itemsAmount, 0n), charges };
    },

    /** Contract balance less all accounts' balances and the relayer's credit: zero, always. */
    async surplus() {
      let held = await chain.read(settlement, "creditOf", [relayer.address]);
      for (const escrowId of escrows) held += (await chain.read(settlement, "account", [escrowId]))[7];
      return (await chain.reader.getBalance({ address: settlement.address })) - held;
    },

    stop: () => chain.stop(),
  };
  return world;
}
