// The EVM side of a workload: forge's artifacts, and transactions of one funded key that a Clock mines.
import { existsSync, readFileSync } from 'node:fs';
import { createPublicClient, decodeErrorResult, defineChain, encodeDeployData, encodeFunctionData, http } from 'viem';
import { mnemonicToAccount } from 'viem/accounts';

/** anvil's deterministic accounts: 0 deploys and owns the consumers, 1 is the relayer's key, 2 the attester's. */
export const ANVIL_MNEMONIC = 'test test test test test test test test test test test junk';
export const anvilAccount = (index) => mnemonicToAccount(ANVIL_MNEMONIC, { addressIndex: index });

const OUT = new URL('../../../contracts/evm/out/', import.meta.url);
const BLOCKS_MAX = 50;
const TX_PER_BLOCK = 16;
const GAS_MARGIN = 12n; // tenths of the estimate

/** ABI and bytecode of a contract that forge has built. */
export function artifact(name) {
  const file = new URL(`${name}.sol/${name}.json`, OUT);
  if (!existsSync(file)) throw new Error(`${name} is not built: run \`npx forge build\` in contracts/evm (deploy/setup.sh --contracts does)`);
  const { abi, bytecode } = JSON.parse(readFileSync(file));
  return { abi, bytecode: bytecode.object };
}

/** Read access to an EVM node of the devnet. */
export async function reader(url) {
  const probe = createPublicClient({ transport: http(url) });
  const id = await probe.getChainId();
  const chain = defineChain({ id, name: 'devnet', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [url] } } });
  return createPublicClient({ chain, transport: http(url), cacheTime: 0 });
}

export class EvmSender {
  #nonce;
  #queue = Promise.resolve();

  /** Sends from `account`; `clock` mines what was sent. */
  constructor(client, account, clock) {
    Object.assign(this, { client, account, clock });
  }

  /** The transaction that deploys a contract. */
  static deployment({ abi, bytecode }, args) {
    return { data: encodeDeployData({ abi, bytecode, args }) };
  }

  /** The transaction that calls one of its functions. */
  static call({ abi }, to, functionName, args = [], value = 0n) {
    return { to, value, data: encodeFunctionData({ abi, functionName, args }), abi, functionName };
  }

  /** Sends all and mines until all are in blocks; fails when one reverts. None may depend on another. Returns the receipts. */
  send(transactions) {
    // One at a time: nonces are counted here.
    const receipts = this.#queue.then(() => this.#send(transactions));
    this.#queue = receipts.catch(() => { this.#nonce = undefined; }); // some may be sent: ask the node again
    return receipts;
  }

  async #send(transactions) {
    const receipts = [];
    for (let at = 0; at < transactions.length; at += TX_PER_BLOCK) {
      const hashes = [];
      for (const transaction of transactions.slice(at, at + TX_PER_BLOCK)) hashes.push(await this.#submit(transaction));
      receipts.push(...await this.#mined(hashes));
    }
    return receipts;
  }

  async #submit({ to, data, value = 0n, abi, functionName }) {
    this.#nonce ??= await this.client.getTransactionCount({ address: this.account.address });
    let gas;
    try {
      gas = await this.client.estimateGas({ account: this.account.address, to, data, value });
    } catch (error) {
      throw new Error(`${functionName ?? 'deployment'} would revert: ${reason(error, abi)}`);
    }
    const { maxFeePerGas, maxPriorityFeePerGas } = await this.client.estimateFeesPerGas();
    const serializedTransaction = await this.account.signTransaction({
      chainId: this.client.chain.id, type: 'eip1559', nonce: this.#nonce, to, data, value, gas: (gas * GAS_MARGIN) / 10n, maxFeePerGas, maxPriorityFeePerGas,
    });
    const hash = await this.client.sendRawTransaction({ serializedTransaction });
    this.#nonce += 1;
    return hash;
  }

  async #mined(hashes) {
    const receipts = new Map();
    for (let block = 0; receipts.size < hashes.length; block++) {
      if (block === BLOCKS_MAX) throw new Error(`${hashes.length - receipts.size} transaction(s) are in none of ${BLOCKS_MAX} blocks`);
      await this.clock.mineEvm();
      for (const hash of hashes.filter((h) => !receipts.has(h))) {
        const receipt = await this.client.request({ method: 'eth_getTransactionReceipt', params: [hash] });
        if (receipt) receipts.set(hash, receipt);
      }
    }
    const reverted = hashes.find((hash) => receipts.get(hash).status !== '0x1');
    if (reverted) throw new Error(`transaction ${reverted} reverted`);
    return hashes.map((hash) => receipts.get(hash));
  }
}

function reason(error, abi) {
  const data = error.walk?.((e) => e.data)?.data;
  if (!abi || typeof data !== 'string') return error.shortMessage ?? error.message;
  const { errorName, args } = decodeErrorResult({ abi, data });
  return `${errorName}(${(args ?? []).join(', ')})`;
}
