// What accounts are charged against what the receipts of a real node say that transactions cost.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startWorld } from "./support/devnet.mjs";

const bytes = (count, byte) => `0x${byte.repeat(count)}`;
const GWEI = 10n ** 9n;

describe("charges on a Prague node", () => {
  let world;
  const rows = [];

  before(async () => {
    world = await startWorld();
  });

  after(async () => {
    await world?.stop();
    console.table(rows);
  });

  /** Delivers and holds the charge against the receipt: cost ≥ charge ≥ 0.99 · cost, and every wei accounted for. */
  async function deliver(label, items) {
    const credit = await world.chain.read(world.settlement, "creditOf", [world.relayer.address]);
    const receipt = await world.fulfill(items);
    const { total, charges } = world.charged(receipt);
    const cost = receipt.gasUsed * receipt.effectiveGasPrice;
    rows.push({
      batch: label, items: items.length, accounts: charges.length, calldata: items[0].payload.length / 2 - 1,
      gasUsed: Number(receipt.gasUsed), gasPerItem: Math.round(Number(receipt.gasUsed) / items.length),
      charged: `${((Number(total) / Number(cost)) * 100).toFixed(3)} %`,
    });
    assert.ok(total <= cost, `${label}: charged ${total} wei of a cost of ${cost}`);
    assert.ok(total * 100n >= cost * 99n, `${label}: charged only ${total} wei of a cost of ${cost}`);
    const shares = charges.reduce((sum, { rootShares }) => sum + rootShares, 0n);
    const earned = (await world.chain.read(world.settlement, "creditOf", [world.relayer.address])) - credit;
    assert.equal(earned, total + shares, `${label}: the credit differs from the charges`);
    assert.equal(await world.surplus(), 0n, `${label}: balance differs from accounts and credits`);
    return { receipt, charges };
  }

  const matrix = [
    ["empty", "0x"],
    ["32 zero bytes", bytes(32, "00")],
    ["32 bytes", bytes(32, "ab")],
    ["1,000 zero bytes", bytes(1000, "00")],
    ["1,000 bytes", bytes(1000, "ab")],
    ["20,000 bytes, calldata floor", bytes(20_000, "ab")],
    ["20,000 zero bytes", bytes(20_000, "00")],
  ];
  for (const [label, payload] of matrix) {
    test(`the charge is the cost, less one percent at most: ${label}`, async () => {
      const accounts = [];
      // A limit that a payload too large to be stored exhausts at a known price; the small ones succeed.
      const callGasLimit = payload.length > 20_000 ? 30_000n : 900_000n;
      for (let i = 0; i < 4; i++) accounts.push(await world.openAccount("Consumer", { callGasLimit }));
      const assignments = accounts.flatMap((account) => [world.assignment(account), world.assignment(account)]);
      const root = await world.postRoot(assignments);
      let execution = 0n;
      for (const picks of [[0], [0], [0, 1], [0, 2], [0, 1, 2, 3], [0, 2, 4, 6], [0, 1, 2, 3, 4, 5, 6, 7]]) {
        if (picks.length > 4 && payload.length > 20_000) continue;
        const items = [];
        for (const pick of picks) items.push(await world.item(root, assignments[pick], execution, payload));
        execution += 1n;
        await deliver(label, items);
      }
    });
  }

  test("items of one account with different payloads and gas still sum to the cost", async () => {
    const light = await world.openAccount("Consumer");
    const heavy = await world.openAccount("Consumer");
    const assignments = [world.assignment(light), world.assignment(heavy)];
    const root = await world.postRoot(assignments);
    const items = [
      await world.item(root, assignments[0], 0n, "0x01"),
      await world.item(root, assignments[1], 0n, bytes(1000, "cd")),
    ];
    const { charges } = await deliver("light and heavy", items);
    assert.ok(charges[1].itemsAmount > charges[0].itemsAmount * 5n, "the heavy account pays for what it caused");
  });

  test("an account pays for its own calldata when the floor decides the cost", async () => {
    const light = await world.openAccount("Consumer", { callGasLimit: 30_000n });
    const heavy = await world.openAccount("Consumer", { callGasLimit: 30_000n });
    const assignments = [world.assignment(light), world.assignment(heavy)];
    const root = await world.postRoot(assignments);
    const items = [
      await world.item(root, assignments[0], 0n, "0x01"),
      await world.item(root, assignments[1], 0n, bytes(20_000, "cd")),
    ];
    const { charges } = await deliver("floor, light and heavy", items);
    const alone = await world.item(root, assignments[0], 1n, "0x01");
    const single = await deliver("light alone", [alone]);
    assert.ok(
      charges[0].itemsAmount < 2n * single.charges[0].itemsAmount,
      "the light account doesn't pay for the other's calldata",
    );
  });

  test("a target that earns refunds can't make the charge exceed the cost", async () => {
    const account = await world.openAccount("RefundingTarget");
    await world.chain.send(world.consumer, account.target, "fill", [100n]);
    const assignment = world.assignment(account);
    const root = await world.postRoot([assignment]);
    for (const [execution, cleared] of [[0n, 1], [1n, 10], [2n, 60]]) {
      const item = await world.item(root, assignment, execution, bytes(cleared, "01"));
      await deliver(`clears ${cleared} words`, [item]);
    }
  });

  test("the price is capped by tip and by the highest fee of the account", async () => {
    const frugal = await world.openAccount("Consumer", { maxPriorityFee: GWEI / 10n });
    const capped = await world.openAccount("Consumer", { maxFeePerGas: 3n * GWEI });
    const assignments = [world.assignment(frugal), world.assignment(capped)];
    const root = await world.postRoot(assignments);
    for (const [assignment, price] of [
      [assignments[0], (baseFee) => baseFee + GWEI / 10n],
      [assignments[1], () => 3n * GWEI],
    ]) {
      const item = await world.item(root, assignment, 0n, "0x01");
      const receipt = await world.fulfill([item], { maxFeePerGas: 50n * GWEI, maxPriorityFeePerGas: 10n * GWEI });
      const { baseFeePerGas } = await world.chain.reader.getBlock({ blockNumber: receipt.blockNumber });
      const most = receipt.gasUsed * price(baseFeePerGas);
      const { total } = world.charged(receipt);
      assert.ok(total <= most && total * 100n >= most * 99n, `charged ${total} wei, expected about ${most}`);
    }
  });

  test("a root records what its posting cost, and its leaves pay exactly that", async () => {
    const account = await world.openAccount("Consumer");
    const assignments = [0, 1, 2].map(() => world.assignment(account, { executions: 2n }));
    const root = await world.postRoot(assignments);
    const [, , , gas, price] = await world.chain.read(world.settlement, "rootOf", [root.batch]);
    rows.push({ batch: "root", items: 3, gasUsed: Number(root.receipt.gasUsed), charged: `${((Number(gas) / Number(root.receipt.gasUsed)) * 100).toFixed(3)} %` });
    assert.ok(gas <= root.receipt.gasUsed && gas * 100n >= root.receipt.gasUsed * 99n, `recorded ${gas} gas`);
    assert.equal(price, root.receipt.effectiveGasPrice);
    let shares = 0n;
    for (const assignment of assignments) {
      const { charges } = await deliver("pays its share", [await world.item(root, assignment, 0n, "0x")]);
      shares += charges[0].rootShares;
    }
    assert.equal(shares, gas * price);
    const again = await deliver("share paid before", [await world.item(root, assignments[0], 1n, "0x")]);
    assert.equal(again.charges[0].rootShares, 0n);
  });

  const hostile = [
    ["RevertingTarget", 100_000n, false],
    ["GasBurningTarget", 100_000n, false],
    ["ReenteringTarget", 1_000_000n, true],
    ["MegabyteTarget", 3_000_000n, true],
  ];
  for (const [name, callGasLimit, takes] of hostile) {
    test(`${name} fails or not at its own cost, and its neighbours get theirs`, async () => {
      const good = await world.openAccount("Consumer");
      const bad = await world.openAccount(name, { callGasLimit });
      const assignments = [world.assignment(good), world.assignment(bad), world.assignment(good)];
      const root = await world.postRoot(assignments);
      const items = [];
      for (const assignment of assignments) items.push(await world.item(root, assignment, 0n, "0x00"));
      const { receipt, charges } = await deliver(name, items);
      const settled = world.events(receipt).filter(({ eventName }) => eventName === "Settled");
      assert.deepEqual(settled.map(({ args }) => args.success), [true, takes, true]);
      assert.deepEqual(charges.map(({ items: count }) => count), [2n, 1n]);
      if (name === "ReenteringTarget") {
        assert.equal(await world.chain.read(bad.target, "refused"), 13n);
        assert.equal(await world.chain.read(bad.target, "passed"), 0n);
      }
    });
  }
});
