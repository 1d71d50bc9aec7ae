// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {RevertingTarget} from "./hostile/RevertingTarget.sol";
import {SettlementTest} from "./support/SettlementTest.sol";
import {Vm} from "./support/Vm.sol";

/// @title What is delivered, what is skipped, what reverts, who pays
contract DeliveryTest is SettlementTest {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    Consumer private _consumer;
    Consumer private _other;
    IAcurastSettlement.Assignment[] private _all;
    bytes32 private _id;
    bytes32 private _otherId;

    function setUp() public override {
        super.setUp();
        _consumer = new Consumer(settlement);
        _other = new Consumer(settlement);
        _id = open(address(_consumer));
        _otherId = open(address(_other));
        _all.push(assignmentFor(_id, 1));
        _all.push(assignmentFor(_otherId, 2));
        _all.push(assignmentFor(_id, 3));
        post(LANE, _all);
    }

    // --------------------------------------------------------------------------------------- delivery

    function test_an_output_reaches_its_target_and_its_account_pays() public {
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE, _all, 0, 12, "output")));
        vm.assertEq(keccak256(_consumer.lastOutput(1)), keccak256("output"), "delivered");
        vm.assertTrue(successOf(logs, 0), "successfully");
        vm.assertTrue(settlement.isSettled(_all[0].bit + 2), "execution 12 is bit 2");
        vm.assertFalse(settlement.isSettled(_all[0].bit), "no other execution is");
        vm.assertFalse(settlement.isFailed(_all[0].bit + 2), "nor failed");
        (uint256 count_, uint256 itemsAmount, uint256 shares) =
            abi.decode(nth(logs, IAcurastSettlement.Charged.selector, 0).data, (uint256, uint256, uint256));
        vm.assertEq(count_, 1, "one item");
        vm.assertTrue(itemsAmount > 0 && shares > 0, "charge and root share");
        vm.assertEq(balanceOf(_id), 1 ether - itemsAmount - shares, "the account paid both");
        vm.assertEq(balanceOf(_otherId), 1 ether, "no other account did");
        vm.assertEq(settlement.creditOf(RELAYER), itemsAmount + shares, "the relayer has both");
        assertSolvent();
    }

    function test_an_execution_settles_once_within_a_batch_across_batches_and_across_roots() public {
        IAcurastSettlement.Item memory item = itemOf(LANE, _all, 0, 10, "first");
        Vm.Log[] memory logs = fulfill(items(item, itemOf(LANE, _all, 0, 10, "second")));
        vm.assertEq(skipReason(logs), 0, "settled within the batch");
        vm.assertEq(count(logs, IAcurastSettlement.Settled.selector), 1, "once");
        uint256 balance = balanceOf(_id);
        logs = fulfill(items(item));
        vm.assertEq(skipReason(logs), 0, "settled before");
        vm.assertEq(count(logs, IAcurastSettlement.Charged.selector), 0, "not charged");
        post(LANE + 1, _all);
        logs = fulfill(items(itemOf(LANE + 1, _all, 0, 10, "third")));
        vm.assertEq(skipReason(logs), 0, "settled under another root");
        vm.assertEq(balanceOf(_id), balance, "nothing more was paid");
        vm.assertEq(keccak256(_consumer.lastOutput(1)), keccak256("first"), "the first output stands");
        vm.assertEq(_consumer.outputs(1), 1, "the only one");
    }

    function test_all_executions_of_a_leaf_settle_in_any_order_and_share_its_root_once() public {
        uint64[5] memory order = [uint64(14), 10, 12, 11, 13];
        for (uint256 i = 0; i < 5; ++i) {
            Vm.Log[] memory logs = fulfill(items(itemOf(LANE, _all, 0, order[i], "x")));
            vm.assertEq(count(logs, IAcurastSettlement.RootShareCharged.selector), i == 0 ? 1 : 0, "share");
        }
        vm.assertEq(_consumer.outputs(1), 5, "five outputs");
        (,,,,,, uint32 paid,) = settlement.rootOf(LANE);
        vm.assertEq(paid, 1, "one leaf paid");
    }

    function test_accounts_of_a_batch_pay_for_what_they_caused() public {
        IAcurastSettlement.Item[] memory batch = new IAcurastSettlement.Item[](3);
        batch[0] = itemOf(LANE, _all, 0, 10, "x");
        batch[1] = itemOf(LANE, _all, 1, 10, new bytes(1_000));
        batch[2] = itemOf(LANE, _all, 2, 10, "x");
        Vm.Log[] memory logs = fulfill(batch);
        vm.assertEq(count(logs, IAcurastSettlement.Charged.selector), 2, "once per account");
        (uint256 first,,) =
            abi.decode(nth(logs, IAcurastSettlement.Charged.selector, 0).data, (uint256, uint256, uint256));
        (uint256 second,,) =
            abi.decode(nth(logs, IAcurastSettlement.Charged.selector, 1).data, (uint256, uint256, uint256));
        vm.assertEq(first, 2, "two items of the first account");
        vm.assertEq(second, 1, "one of the second");
        assertSolvent();
    }

    function test_a_charge_never_exceeds_maxCharge_per_execution() public {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.maxCharge = 1_000;
        bytes32 id = open(address(_other), caps, 1 ether);
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(id, 1));
        post(LANE + 1, all);
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE + 1, all, 0, 10, "x"), itemOf(LANE + 1, all, 0, 11, "x")));
        (, uint256 itemsAmount,) =
            abi.decode(nth(logs, IAcurastSettlement.Charged.selector, 0).data, (uint256, uint256, uint256));
        vm.assertEq(itemsAmount, 2_000, "two executions at their cap");
        assertSolvent();
    }

    // ------------------------------------------------------------------------------------------ skips

    function test_an_item_past_notAfter_is_skipped() public {
        IAcurastSettlement.Item[] memory batch = items(itemOf(LANE, _all, 0, 10, "x"));
        IAcurastSettlement.Item[] memory late = items(itemOf(LANE, _all, 0, 11, "x"));
        vm.warp(_all[0].notAfter / 1000);
        vm.assertEq(count(fulfill(batch), IAcurastSettlement.Settled.selector), 1, "in time at notAfter");
        vm.warp(_all[0].notAfter / 1000 + 1);
        vm.assertEq(skipReason(fulfill(late)), 1, "a second later it isn't");
    }

    function test_a_revoked_assignment_is_skipped_and_its_neighbour_delivered() public {
        vm.prank(OPENER);
        settlement.revoke(_id, _all[0].assignmentId);
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE, _all, 0, 10, "x"), itemOf(LANE, _all, 2, 10, "x")));
        vm.assertEq(skipReason(logs), 2, "revoked");
        vm.assertEq(_consumer.outputs(3), 1, "its neighbour of the same account is delivered");
    }

    function test_an_escrow_that_is_too_small_or_not_open_is_skipped_until_topped_up() public {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        bytes32 poor = open(address(_other), caps, caps.maxCharge);
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](2);
        all[0] = assignmentFor(poor, 1);
        all[1] = assignmentFor("never opened", 2);
        post(LANE + 1, all);
        IAcurastSettlement.Item[] memory batch = items(itemOf(LANE + 1, all, 0, 10, "x"));
        // maxCharge is there, but not the root share on top.
        vm.assertEq(skipReason(fulfill(batch)), 3, "too small");
        vm.assertEq(skipReason(fulfill(items(itemOf(LANE + 1, all, 1, 10, "x")))), 3, "not open");
        vm.prank(OPENER);
        settlement.topUp{value: caps.maxCharge}(poor);
        Vm.Log[] memory logs = fulfill(items(batch[0], itemOf(LANE + 1, all, 0, 11, "x")));
        vm.assertEq(skipReason(logs), 3, "enough for one of two");
        vm.assertEq(count(logs, IAcurastSettlement.Settled.selector), 1, "which is delivered");
        assertSolvent();
    }

    function test_caps_on_payload_price_and_mode_are_skipped() public {
        vm.assertEq(skipReason(fulfill(items(itemOf(LANE, _all, 0, 10, new bytes(1_001))))), 4, "payload");
        vm.fee(100 gwei + 1);
        vm.txGasPrice(101 gwei);
        vm.assertEq(skipReason(fulfill(items(itemOf(LANE, _all, 0, 10, "x")))), 4, "base fee");
        vm.fee(1 gwei);
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.modes = 2;
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(open(address(_other), caps, 1 ether), 1));
        post(LANE + 1, all);
        vm.assertEq(skipReason(fulfill(items(itemOf(LANE + 1, all, 0, 10, "x")))), 4, "mode");
    }

    function test_a_closing_account_delivers_until_it_is_refundable() public {
        vm.prank(OPENER);
        settlement.requestClose(_id);
        vm.warp(block.timestamp + CLOSE_DELAY - 1);
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE, _all, 0, 10, "x")));
        vm.assertEq(count(logs, IAcurastSettlement.Settled.selector), 1, "what is on its way arrives");
        vm.warp(block.timestamp + 1);
        vm.assertEq(skipReason(fulfill(items(itemOf(LANE, _all, 0, 11, "x")))), 5, "refundable");
    }

    function test_a_batch_of_skipped_items_costs_no_account_anything() public {
        vm.warp(_all[0].notAfter / 1000 + 1);
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE, _all, 0, 10, "x"), itemOf(LANE, _all, 1, 10, "x")));
        vm.assertEq(count(logs, IAcurastSettlement.Skipped.selector), 2, "two skipped");
        vm.assertEq(logs.length, 2, "and nothing else happened");
        vm.assertEq(balanceOf(_id) + balanceOf(_otherId), 2 ether, "no charge");
    }

    // ---------------------------------------------------------------------------------------- reverts

    function test_the_relayers_own_faults_revert_and_name_the_item() public {
        IAcurastSettlement.Item memory good = itemOf(LANE, _all, 0, 10, "x");
        IAcurastSettlement.Item memory bad = itemOf(LANE, _all, 1, 10, "x");
        bad.proof[0] = keccak256("wrong");
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.InvalidProof.selector, 1));
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.assignment.notAfter += 1;
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.InvalidProof.selector, 1));
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.batch = LANE + 1;
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.UnknownRoot.selector, 1, LANE + 1));
        bad.batch = uint64(6) << 48;
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.WrongLane.selector, 1, bad.batch));
        bad = itemOf(LANE, _all, 1, 15, "x");
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.ExecutionOutOfRange.selector, 1, 15));
        bad = itemOf(LANE, _all, 1, 9, "x");
        _refused(good, bad, abi.encodeWithSelector(IAcurastSettlement.ExecutionOutOfRange.selector, 1, 9));
        vm.expectRevert(IAcurastSettlement.EmptyBatch.selector);
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(new IAcurastSettlement.Item[](0));
    }

    function test_an_overwritten_root_reverts() public {
        IAcurastSettlement.Item memory item = itemOf(LANE, _all, 0, 10, "x");
        vm.warp(_all[0].notAfter / 1000 + 1);
        post(LANE + RING, _all);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.UnknownRoot.selector, 0, LANE));
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(items(item));
    }

    function test_only_the_processors_own_canonical_signature_is_accepted() public {
        IAcurastSettlement.Item memory good = itemOf(LANE, _all, 0, 10, "x");
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.InvalidSignature.selector, 1);
        IAcurastSettlement.Item memory bad = itemOf(LANE, _all, 1, 10, "x");
        bad.payload = "y";
        _refused(good, bad, refusal);
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.execution = 11;
        _refused(good, bad, refusal);
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.signature = good.signature;
        _refused(good, bad, refusal);
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.signature = _mirrored(bad.signature);
        _refused(good, bad, refusal);
        bad = itemOf(LANE, _all, 1, 10, "x");
        bad.signature[64] = bytes1(uint8(bad.signature[64]) - 27);
        _refused(good, bad, refusal);
        bad.signature = abi.encodePacked(itemOf(LANE, _all, 1, 10, "x").signature, bytes1(0));
        _refused(good, bad, refusal);
        bad.signature = "";
        _refused(good, bad, refusal);
    }

    function test_a_signer_key_is_compared_in_all_its_bytes_and_other_key_types_are_refused() public {
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](4);
        for (uint128 i = 0; i < 4; ++i) {
            all[i] = assignmentFor(_id, i);
        }
        all[0].signerKey = bytes32(uint256(all[0].signerKey) | (1 << 255));
        all[1].signerKey = bytes32(0);
        all[2].keyType = 1;
        all[3].executions = type(uint64).max;
        post(LANE + 1, all);
        _refusedAlone(
            itemOf(LANE + 1, all, 0, 10, "x"), abi.encodeWithSelector(IAcurastSettlement.InvalidSignature.selector, 0)
        );
        IAcurastSettlement.Item memory zero = itemOf(LANE + 1, all, 1, 10, "x");
        zero.signature = new bytes(65);
        _refusedAlone(zero, abi.encodeWithSelector(IAcurastSettlement.InvalidSignature.selector, 0));
        _refusedAlone(
            itemOf(LANE + 1, all, 2, 10, "x"),
            abi.encodeWithSelector(IAcurastSettlement.UnsupportedKeyType.selector, 0, 1)
        );
        _refusedAlone(
            itemOf(LANE + 1, all, 3, 10, "x"),
            abi.encodeWithSelector(IAcurastSettlement.ExecutionOutOfRange.selector, 0, 10)
        );
    }

    function test_too_little_gas_for_a_target_reverts_the_whole_batch() public {
        IAcurastSettlement.Item[] memory batch = items(itemOf(LANE, _all, 0, 10, "x"));
        vm.prank(RELAYER, RELAYER);
        (bool done, bytes memory answer) =
            address(settlement).call{gas: 330_000}(abi.encodeCall(settlement.fulfillBatch, (batch)));
        vm.assertFalse(done, "reverted");
        vm.assertEq(
            keccak256(answer),
            keccak256(
                abi.encodeWithSelector(IAcurastSettlement.NotEnoughGas.selector, 0, 300_000 * uint256(64) / 63 + 5_000)
            ),
            "for want of gas"
        );
        vm.assertFalse(settlement.isSettled(_all[0].bit), "nothing stands");
        fulfill(batch);
        vm.assertTrue(settlement.isSettled(_all[0].bit), "with enough it does");
    }

    function test_items_that_share_calldata_are_refused() public {
        IAcurastSettlement.Item memory one = itemOf(LANE, _all, 0, 10, "x");
        bytes memory data = abi.encodeCall(settlement.fulfillBatch, (items(one, one)));
        // Words: selector, offset of the array, its length, offsets of the items. Both now lead to the first item.
        assembly ("memory-safe") {
            mstore(add(data, 132), mload(add(data, 100)))
        }
        vm.prank(RELAYER, RELAYER);
        (bool done, bytes memory answer) = address(settlement).call(data);
        vm.assertFalse(done, "reverted");
        vm.assertEq(
            keccak256(answer),
            keccak256(abi.encodeWithSelector(IAcurastSettlement.ScatteredCalldata.selector, 0)),
            "for overlapping"
        );
    }

    // ------------------------------------------------------------------------------------ redelivery

    function test_a_failed_execution_is_redelivered_by_anyone_once_and_with_the_same_payload() public {
        RevertingTarget target = new RevertingTarget(settlement);
        bytes32 id = open(address(target));
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(id, 1));
        post(LANE + 1, all);
        IAcurastSettlement.Item memory item = itemOf(LANE + 1, all, 0, 10, "x");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRedeliverable.selector, all[0].bit));
        settlement.redeliver(item);
        vm.assertFalse(successOf(fulfill(items(item)), 0), "failed");
        vm.assertTrue(settlement.isFailed(all[0].bit), "and says so");
        uint256 balance = balanceOf(id);

        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RedeliveryFailed.selector, address(target)));
        settlement.redeliver(item);
        vm.assertTrue(settlement.isFailed(all[0].bit), "still failed");
        target.setWilling(true);
        IAcurastSettlement.Item memory equivocal = itemOf(LANE + 1, all, 0, 10, "y");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRedeliverable.selector, all[0].bit));
        settlement.redeliver(equivocal);
        settlement.redeliver(item);
        vm.assertEq(target.taken(), 1, "taken");
        vm.assertFalse(settlement.isFailed(all[0].bit), "failed no more");
        vm.assertTrue(settlement.isSettled(all[0].bit), "settled as before");
        vm.assertEq(balanceOf(id), balance, "the account paid nothing");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRedeliverable.selector, all[0].bit));
        settlement.redeliver(item);
    }

    function test_nothing_is_redelivered_past_notAfter_or_after_a_revocation() public {
        RevertingTarget target = new RevertingTarget(settlement);
        bytes32 id = open(address(target));
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(id, 1));
        post(LANE + 1, all);
        IAcurastSettlement.Item memory item = itemOf(LANE + 1, all, 0, 10, "x");
        fulfill(items(item));
        target.setWilling(true);
        vm.warp(all[0].notAfter / 1000 + 1);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.PastNotAfter.selector, all[0].notAfter));
        settlement.redeliver(item);
        vm.warp(START);
        vm.prank(OPENER);
        settlement.revoke(id, all[0].assignmentId);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RevokedAssignment.selector, all[0].assignmentId));
        settlement.redeliver(item);
    }

    function _refused(IAcurastSettlement.Item memory good, IAcurastSettlement.Item memory bad, bytes memory refusal)
        private
    {
        vm.expectRevert(refusal);
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(items(good, bad));
        vm.assertFalse(settlement.isSettled(good.assignment.bit), "nothing of the batch stands");
    }

    function _refusedAlone(IAcurastSettlement.Item memory bad, bytes memory refusal) private {
        vm.expectRevert(refusal);
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(items(bad));
    }

    /// @dev The other signature that recovers to the same key: high s.
    function _mirrored(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, uint256 s) = (bytes32(0), 0);
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        return abi.encodePacked(r, CURVE_ORDER - s, uint8(signature[64]) == 27 ? uint8(28) : uint8(27));
    }
}
