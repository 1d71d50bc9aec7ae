// What happened on the EVM chain, counted from its logs, balances and receipts alone: an observer that shares no code with the
// relayer, not even the contract's ABI file. It is compared with what the manifest says must have happened.
import { keccak256, parseAbi } from 'viem';

const EVENTS = parseAbi([
  'event EscrowOpened(bytes32 indexed escrowId, bytes32 indexed ownerKey, address indexed target, address opener, (uint128 maxFeePerGas, uint128 maxPriorityFee, uint64 callGasLimit, uint32 maxPayload, uint128 maxCharge, uint32 modes) caps, uint64 expiry, bytes32 salt, uint256 amount)',
  'event EscrowToppedUp(bytes32 indexed escrowId, bytes32 indexed ownerKey, uint256 amount)',
  'event EscrowRefunded(bytes32 indexed escrowId, bytes32 indexed ownerKey, address to, uint256 amount)',
  'event RootPosted(uint64 indexed batch, bytes32 root, uint32 leaves, uint64 lockedUntil, uint64 sourceBlock, bytes32 sourceBlockHash)',
  'event Settled(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint64 execution, bool success, bytes32 payloadHash)',
  'event Skipped(bytes32 indexed assignmentId, uint64 execution, uint8 reason)',
  'event RootShareCharged(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint256 amount)',
  'event Charged(bytes32 indexed escrowId, uint256 items, uint256 itemsAmount, uint256 rootShares)',
  'event RelayerGranted(address indexed relayer, uint16 lane)',
  'event Withdrawn(address indexed relayer, uint256 amount)',
]);
const VIEWS = parseAbi([
  'function account(bytes32 escrowId) view returns (address opener, address target, bytes32 ownerKey, (uint128 maxFeePerGas, uint128 maxPriorityFee, uint64 callGasLimit, uint32 maxPayload, uint128 maxCharge, uint32 modes) caps, uint64 expiry, uint64 closeRequestedAt, uint64 refundableAt, uint256 balance)',
  'function creditOf(address relayer) view returns (uint256)',
]);
const TARGET = parseAbi(['event Fulfilled(uint128 indexed jobId, uint256 number, bytes payload)']);

const BLOCKS_PER_QUERY = 100n;

/** What the manifest expects of an execution, and the success bit that its Settled event then has. */
const SETTLES = { fulfilled: true, refused: false };

const sum = (values) => values.reduce((total, value) => total + value, 0n);
const add = (map, key, value) => map.set(key, (map.get(key) ?? 0n) + value);
const keyOf = (assignment, execution) => `${assignment}/${execution}`;

/** Logs of a range of blocks, asked for piece by piece: thousands of jobs leave more than one answer may hold. */
async function logsOf(client, filter, { fromBlock, toBlock }) {
  const logs = [];
  for (let from = fromBlock; from <= toBlock; from += BLOCKS_PER_QUERY) {
    const last = from + BLOCKS_PER_QUERY - 1n;
    logs.push(...await client.getLogs({ ...filter, fromBlock: from, toBlock: last < toBlock ? last : toBlock }));
  }
  return logs;
}

/** The executions of the manifest by (assignment, execution), each with its job. */
function planned(manifest) {
  const executions = new Map();
  for (const job of manifest.jobs) {
    for (const slot of job.slots) {
      for (const assignment of slot.assignments) {
        for (const execution of assignment.executions) {
          executions.set(keyOf(assignment.assignment_id, execution.execution), { job, slot, assignment, ...execution });
        }
      }
    }
  }
  return executions;
}

/**
 * Reads the chain behind `client` and returns `{ figures, failures, accounts, paid }`; figures in wei are decimal strings.
 * `accounts` and `paid` are what lib/books.mjs holds the ledger against.
 */
export async function observeChain(client, manifest) {
  const { settlement } = manifest.evm;
  const toBlock = await client.getBlockNumber();
  const fromBlock = BigInt(manifest.evm.deployed_at);
  const logs = await logsOf(client, { address: settlement, events: EVENTS }, { fromBlock, toBlock });
  const of = (name) => logs.filter(({ eventName }) => eventName === name).map(({ args, transactionHash }) => ({ ...args, transactionHash }));
  const failures = [];

  const settled = effects(of('Settled'), manifest, failures);
  const delivered = await deliveries(client, manifest, { fromBlock, toBlock }, settled.succeeded, failures);
  const accounts = turnovers(of);
  const money = await balances(client, settlement, of, accounts, failures);
  const { paid, ...spent } = await costs(client, { fromBlock, toBlock }, of, failures);
  const { succeeded, ...counts } = settled;
  return {
    figures: {
      ...counts, delivered, roots_posted: of('RootPosted').length, skipped_items: of('Skipped').length, ...money, ...spent,
      ledger_margin_wei: (BigInt(money.charged_wei) - BigInt(spent.relayer_cost_wei)).toString(), height: Number(toBlock),
    },
    failures, accounts, paid,
  };
}

/** What ever came into each account, was charged to it and was paid back, in wei, as the contract's events tell. */
function turnovers(of) {
  const accounts = new Map();
  const book = (id, name, amount) => {
    if (!accounts.has(id)) accounts.set(id, { locked: 0n, charged: 0n, refunded: 0n });
    accounts.get(id)[name] += amount;
  };
  for (const { escrowId, amount } of [...of('EscrowOpened'), ...of('EscrowToppedUp')]) book(escrowId, 'locked', amount);
  for (const { escrowId, itemsAmount, rootShares } of of('Charged')) book(escrowId, 'charged', itemsAmount + rootShares);
  for (const { escrowId, amount } of of('EscrowRefunded')) book(escrowId, 'refunded', amount);
  return accounts;
}

/** Each settlement once, none lost, none that was not meant to be. */
function effects(settled, manifest, failures) {
  const expected = planned(manifest);
  const seen = new Map();
  for (const event of settled) {
    const key = keyOf(event.assignmentId, Number(event.execution));
    seen.set(key, [...(seen.get(key) ?? []), event]);
  }
  const twice = [...seen].filter(([, events]) => events.length > 1);
  twice.forEach(([key, events]) => failures.push(`${key} was settled ${events.length} times`));
  const figures = { settled: seen.size, settled_twice: twice.length, lost: 0, unexpected: 0, contradicting: 0, succeeded: new Map() };
  for (const [key, execution] of expected) {
    const event = seen.get(key)?.[0];
    const success = SETTLES[execution.expected];
    const name = `job ${execution.job.index} (${execution.job.kind}) slot ${execution.slot.slot} execution ${execution.execution}`;
    if (success !== undefined && !event) {
      figures.lost += 1;
      failures.push(`${name} was to be ${execution.expected} and isn't settled`);
    } else if (success === undefined && event) {
      figures.unexpected += 1;
      failures.push(`${name} was to be ${execution.expected} and is settled`);
    } else if (event && (event.success !== success || event.payloadHash !== keccak256(execution.payload ?? '0x'))) {
      figures.contradicting += 1;
      failures.push(`${name} was to be ${execution.expected} with its payload; success ${event.success}, payload hash ${event.payloadHash}`);
    }
    if (event?.success) add(figures.succeeded, keyOf(execution.job.target, execution.job.number), 1n);
  }
  for (const key of seen.keys()) {
    if (expected.has(key)) continue;
    figures.unexpected += 1;
    failures.push(`${key} is settled and in no plan`);
  }
  return figures;
}

/** The targets' own word: each took exactly as many outputs as were settled as successes. Hostile targets emit nothing. */
async function deliveries(client, manifest, range, succeeded, failures) {
  const targets = manifest.consumers.filter(({ hostile }) => !hostile).map(({ target }) => target);
  const logs = targets.length === 0 ? [] : await logsOf(client, { address: targets, event: TARGET[0] }, range);
  const taken = new Map();
  for (const { address, args } of logs) add(taken, keyOf(address.toLowerCase(), args.jobId), 1n);
  for (const key of new Set([...taken.keys(), ...[...succeeded.keys()].filter((k) => targets.includes(k.split('/')[0]))])) {
    const [got, should] = [taken.get(key) ?? 0n, succeeded.get(key) ?? 0n];
    if (got !== should) failures.push(`target and job ${key}: took ${got} outputs, settled as successes are ${should}`);
  }
  return logs.length;
}

/** The contract owns what its accounts and credits say, and every account's history explains its balance. */
async function balances(client, settlement, of, turnover, failures) {
  const view = (functionName, args) => client.readContract({ address: settlement, abi: VIEWS, functionName, args });
  const book = new Map([...turnover].map(([escrowId, { locked, charged, refunded }]) => [escrowId, locked - charged - refunded]));
  const shares = new Map();
  for (const { escrowId, rootShares } of of('Charged')) add(shares, escrowId, rootShares);
  for (const { escrowId, amount } of of('RootShareCharged')) add(shares, escrowId, -amount);

  let accounts = 0n;
  let difference = 0n;
  for (const [escrowId, amount] of book) {
    const [, , , , , , , balance] = await view('account', [escrowId]);
    accounts += balance;
    if (balance !== amount) {
      difference += balance > amount ? balance - amount : amount - balance;
      failures.push(`account ${escrowId} holds ${balance} wei, its events leave ${amount}`);
    }
  }
  for (const [escrowId, rest] of shares) if (rest !== 0n) failures.push(`account ${escrowId}: root shares by leaf and by transaction differ by ${rest} wei`);

  const relayers = [...new Set(of('RelayerGranted').map(({ relayer }) => relayer))];
  const credits = sum(await Promise.all(relayers.map((relayer) => view('creditOf', [relayer]))));
  const charged = sum(of('Charged').map(({ itemsAmount, rootShares }) => itemsAmount + rootShares));
  const withdrawn = sum(of('Withdrawn').map(({ amount }) => amount));
  if (credits + withdrawn !== charged) failures.push(`charged ${charged} wei, credited and withdrawn ${credits + withdrawn}`);
  const balance = await client.getBalance({ address: settlement });
  if (balance !== accounts + credits) failures.push(`the contract holds ${balance} wei, its accounts and credits sum to ${accounts + credits}`);
  return {
    accounts: book.size, charged_wei: charged.toString(), contract_balance_wei: balance.toString(),
    contract_difference_wei: (balance - accounts - credits).toString(), accounts_difference_wei: difference.toString(),
  };
}

/** What the relayer's keys paid, reverted and replaced transactions included, and that no transaction charged more than it cost. */
async function costs(client, { fromBlock, toBlock }, of, failures) {
  const relayers = new Set(of('RelayerGranted').map(({ relayer }) => relayer.toLowerCase()));
  const charges = new Map();
  for (const { transactionHash, itemsAmount } of of('Charged')) add(charges, transactionHash, itemsAmount);
  const costOf = new Map();
  let reverted = 0;
  for (let blockNumber = fromBlock; blockNumber <= toBlock; blockNumber++) {
    const block = await client.getBlock({ blockNumber, includeTransactions: true });
    for (const { hash, from } of block.transactions) {
      if (!relayers.has(from.toLowerCase())) continue;
      const receipt = await client.getTransactionReceipt({ hash });
      const paid = receipt.gasUsed * receipt.effectiveGasPrice;
      costOf.set(hash, paid);
      if (receipt.status !== 'success') reverted += 1;
      const charged = charges.get(hash) ?? 0n;
      if (charged > paid) failures.push(`transaction ${hash} cost ${paid} wei and charged ${charged} for its items`);
    }
  }
  return { paid: costOf, relayer_transactions: costOf.size, relayer_reverted: reverted, relayer_cost_wei: sum([...costOf.values()]).toString() };
}
