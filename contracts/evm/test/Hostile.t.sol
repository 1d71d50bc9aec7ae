// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {GasBurningTarget} from "./hostile/GasBurningTarget.sol";
import {MegabyteTarget} from "./hostile/MegabyteTarget.sol";
import {ReenteringTarget} from "./hostile/ReenteringTarget.sol";
import {RevertingTarget} from "./hostile/RevertingTarget.sol";
import {SettlementTest} from "./support/SettlementTest.sol";
import {Vm} from "./support/Vm.sol";

/// @title What a hostile target does to its batch, its account, and its neighbours
contract HostileTest is SettlementTest {
    uint256 private constant SATURATOR_GAS = 22_300;
    Consumer private _good;
    bytes32 private _goodId;

    function setUp() public override {
        super.setUp();
        _good = new Consumer(settlement);
        _goodId = open(address(_good));
    }

    function test_a_target_that_reverts_fails_alone() public {
        _between(address(new RevertingTarget(settlement)), 100_000, "x", false, 0);
    }

    function test_a_target_that_burns_its_gas_fails_alone_and_pays_for_it() public {
        _between(address(new GasBurningTarget(settlement)), 500_000, "x", false, 500_000);
    }

    function test_a_target_that_reenters_finds_every_door_locked() public {
        ReenteringTarget target = new ReenteringTarget(settlement);
        vm.deal(address(target), 1 ether);
        bytes32 id = _between(address(target), 3_000_000, "x", true, 0);
        vm.assertEq(target.calls(), 1, "called once");
        vm.assertEq(target.passed(), 0, "nothing got through");
        vm.assertEq(target.refused(), 13, "all thirteen entry points were locked");
        vm.assertEq(address(target).balance, 1 ether, "and its top-up stayed with it");
        vm.assertTrue(refundableAt(id) > block.timestamp, "its account is as open as before");
    }

    function test_a_target_that_answers_with_a_megabyte_pays_for_making_it_and_nobody_copies_it() public {
        _between(address(new MegabyteTarget(settlement)), 3_000_000, hex"00", true, 2_000_000);
    }

    function test_a_target_that_reverts_with_a_megabyte_fails_alone() public {
        _between(address(new MegabyteTarget(settlement)), 3_000_000, hex"01", false, 2_000_000);
    }

    function test_a_target_without_code_fails_alone() public {
        _between(address(0xE0A), 100_000, "x", false, 0);
    }

    function test_an_account_charged_to_its_cap_leaves_the_rest_of_the_cost_to_the_relayer() public {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.maxCharge = 0.0001 ether;
        caps.callGasLimit = 3_000_000;
        GasBurningTarget target = new GasBurningTarget(settlement);
        bytes32 id = open(address(target), caps, 1 ether);
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(id, 1));
        post(LANE, all);
        Vm.Log[] memory logs = fulfill(items(itemOf(LANE, all, 0, 10, "x")));
        (, uint256 itemsAmount,) =
            abi.decode(nth(logs, IAcurastSettlement.Charged.selector, 0).data, (uint256, uint256, uint256));
        vm.assertEq(itemsAmount, 0.0001 ether, "the cap");
        assertSolvent();
    }

    /// @dev Delivers good, hostile, good in one batch, and the same with a good target in the hostile one's place:
    /// the good ones get their outputs and pay the same in both, give or take one refund saturator (they come in whole numbers).
    function _between(address target, uint64 callGasLimit, bytes memory payload, bool takes, uint256 leastGas)
        private
        returns (bytes32 id)
    {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.callGasLimit = callGasLimit;
        caps.maxCharge = 0.1 ether;
        id = open(target, caps, 1 ether);
        bytes32 plainId = open(address(new Consumer(settlement)), caps, 1 ether);
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](3);
        all[0] = assignmentFor(_goodId, 1);
        all[1] = assignmentFor(id, 2);
        all[2] = assignmentFor(plainId, 3);
        post(LANE, all);
        // Pays shares and makes storage warm, so that the two batches compare.
        fulfill(items(itemOf(LANE, all, 0, 10, payload), itemOf(LANE, all, 2, 10, payload)));

        uint256 before = balanceOf(_goodId);
        _batch(all, 2, 11, payload);
        uint256 beside = before - balanceOf(_goodId);

        before = balanceOf(_goodId);
        uint256 hostileBefore = balanceOf(id);
        Vm.Log[] memory logs = _batch(all, 1, 13, payload);
        uint256 besideHostile = before - balanceOf(_goodId);

        vm.assertTrue(successOf(logs, 0) && successOf(logs, 2), "the good ones succeed");
        vm.assertTrue(successOf(logs, 1) == takes, "the hostile one as it likes");
        vm.assertTrue(settlement.isSettled(all[1].bit + 3), "and it is settled, either way");
        vm.assertTrue(settlement.isFailed(all[1].bit + 3) != takes, "with its failure recorded");
        vm.assertEq(_good.outputs(1), 5, "five outputs for the good one");
        uint256 apart = beside > besideHostile ? beside - besideHostile : besideHostile - beside;
        vm.assertTrue(apart <= SATURATOR_GAS * tx.gasprice, "which pays the same beside a hostile one");
        vm.assertTrue(hostileBefore - balanceOf(id) >= leastGas * tx.gasprice, "the hostile one pays for its gas");
        vm.assertEq(count(logs, IAcurastSettlement.Charged.selector), 2, "once");
        assertSolvent();
    }

    function _batch(IAcurastSettlement.Assignment[] memory all, uint256 middle, uint64 execution, bytes memory payload)
        private
        returns (Vm.Log[] memory)
    {
        IAcurastSettlement.Item[] memory batch = new IAcurastSettlement.Item[](3);
        batch[0] = itemOf(LANE, all, 0, execution, payload);
        batch[1] = itemOf(LANE, all, middle, execution, payload);
        batch[2] = itemOf(LANE, all, 0, execution + 1, payload);
        return fulfill(batch);
    }
}
