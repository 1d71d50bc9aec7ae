// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {AcurastSettlement} from "../src/AcurastSettlement.sol";
import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {SettlementTest} from "./support/SettlementTest.sol";

/// @title Roles, lanes, pause and deployment
contract AccessTest is SettlementTest {
    address private constant OTHER = address(0x0777);

    function test_the_admin_role_moves_in_two_steps() public {
        vm.prank(ADMIN);
        settlement.transferAdmin(OTHER);
        vm.assertEq(settlement.admin(), ADMIN, "nothing moved yet");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotPendingAdmin.selector, RELAYER));
        vm.prank(RELAYER);
        settlement.acceptAdmin();
        vm.prank(OTHER);
        settlement.acceptAdmin();
        vm.assertEq(settlement.admin(), OTHER, "the successor is admin");
        vm.assertEq(settlement.pendingAdmin(), address(0), "and nobody is pending");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotAdmin.selector, ADMIN));
        vm.prank(ADMIN);
        settlement.pause();
    }

    function test_only_the_admin_grants_revokes_pauses_and_names() public {
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.NotAdmin.selector, OTHER);
        vm.startPrank(OTHER, OTHER);
        vm.expectRevert(refusal);
        settlement.grantRelayer(OTHER, 9);
        vm.expectRevert(refusal);
        settlement.revokeRelayer(RELAYER);
        vm.expectRevert(refusal);
        settlement.pause();
        vm.expectRevert(refusal);
        settlement.unpause();
        vm.expectRevert(refusal);
        settlement.transferAdmin(OTHER);
        vm.stopPrank();
    }

    function test_a_lane_number_is_never_given_to_another_key() public {
        vm.startPrank(ADMIN, ADMIN);
        settlement.revokeRelayer(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.LaneTaken.selector, 7, RELAYER));
        settlement.grantRelayer(OTHER, 7);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RelayerHasLane.selector, RELAYER, 7));
        settlement.grantRelayer(RELAYER, 8);
        settlement.grantRelayer(RELAYER, 7);
        (uint16 lane, bool granted) = settlement.laneOf(RELAYER);
        vm.assertEq(lane, 7, "the same key gets its lane again");
        vm.assertTrue(granted, "and the role");
        settlement.grantRelayer(OTHER, 0);
        vm.assertEq(settlement.relayerOf(0), OTHER, "lane 0 is a lane");
        vm.stopPrank();
    }

    function test_no_relayer_key_is_an_attester() public {
        address attester = vm.addr(attesterKeys[1]);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RelayerIsAttester.selector, attester));
        vm.prank(ADMIN);
        settlement.grantRelayer(attester, 9);
    }

    function test_a_revoked_relayer_keeps_its_credit_and_nothing_else() public {
        Consumer consumer = new Consumer(settlement);
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(open(address(consumer)), 1));
        post(LANE, all);
        fulfill(items(itemOf(LANE, all, 0, 10, "x")));
        IAcurastSettlement.Item[] memory next = items(itemOf(LANE, all, 0, 11, "x"));
        vm.prank(ADMIN);
        settlement.revokeRelayer(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRelayer.selector, RELAYER));
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(next);
        uint256 credit = settlement.creditOf(RELAYER);
        vm.assertTrue(credit > 0, "it earned something");
        vm.prank(RELAYER);
        settlement.withdraw(credit);
        vm.assertEq(RELAYER.balance, credit, "and got it");
    }

    function test_a_relayer_withdraws_its_credit_and_no_more() public {
        Consumer consumer = new Consumer(settlement);
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(open(address(consumer)), 1));
        post(LANE, all);
        fulfill(items(itemOf(LANE, all, 0, 10, "x")));
        uint256 credit = settlement.creditOf(RELAYER);
        vm.startPrank(RELAYER, RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.CreditTooSmall.selector, credit, credit + 1));
        settlement.withdraw(credit + 1);
        vm.expectRevert(IAcurastSettlement.NothingToPay.selector);
        settlement.withdraw(0);
        settlement.withdraw(credit - 1);
        vm.stopPrank();
        vm.assertEq(settlement.creditOf(RELAYER), 1, "the rest stays");
        assertSolvent();
    }

    function test_a_pause_stops_work_and_never_refunds_and_withdrawals() public {
        Consumer consumer = new Consumer(settlement);
        bytes32 id = open(address(consumer));
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(id, 1));
        post(LANE, all);
        fulfill(items(itemOf(LANE, all, 0, 10, "x")));
        IAcurastSettlement.Item[] memory next = items(itemOf(LANE, all, 0, 11, "x"));
        IAcurastSettlement.Root memory root = rootFor(LANE + 1, all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        vm.prank(ADMIN);
        settlement.pause();

        vm.startPrank(RELAYER, RELAYER);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.fulfillBatch(next);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.postRoot(root, signatures);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.chargeRoot(LANE, all[0], new bytes32[](0));
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.redeliver(next[0]);
        settlement.withdraw(settlement.creditOf(RELAYER));
        vm.stopPrank();
        vm.startPrank(OPENER, OPENER);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.topUp{value: 1}(id);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        settlement.openEscrow(address(consumer), OWNER_KEY, defaultCaps(), uint64(block.timestamp + 1), "other");
        settlement.requestClose(id);
        vm.warp(block.timestamp + CLOSE_DELAY);
        settlement.refund(id);
        vm.stopPrank();
        vm.assertEq(balanceOf(id), 0, "refunded under pause");
        assertSolvent();
    }

    function test_metered_entry_points_take_plain_accounts_only() public {
        Consumer consumer = new Consumer(settlement);
        IAcurastSettlement.Assignment[] memory all = list(assignmentFor(open(address(consumer)), 1));
        post(LANE, all);
        IAcurastSettlement.Item[] memory batch = items(itemOf(LANE, all, 0, 10, "x"));
        IAcurastSettlement.Root memory root = rootFor(LANE + 1, all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.NotPlainAccount.selector, RELAYER);
        // Called by another contract's transaction.
        vm.expectRevert(refusal);
        vm.prank(RELAYER, OTHER);
        settlement.fulfillBatch(batch);
        vm.expectRevert(refusal);
        vm.prank(RELAYER, OTHER);
        settlement.postRoot(root, signatures);
        // The sender has code of its own (EIP-7702).
        vm.etch(RELAYER, hex"ef01000000000000000000000000000000000000000001");
        vm.expectRevert(refusal);
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(batch);
    }

    function test_a_deployment_without_sense_is_refused() public {
        address[] memory three = settlement.attesters();
        _refused(three, 0, 4, 60);
        _refused(three, 4, 4, 60);
        _refused(three, 2, 0, 60);
        _refused(three, 2, 4, 0);
        _refused(three, 2, 4, 366 days);
        _refused(new address[](0), 0, 4, 60);
        _refused(new address[](1), 1, 4, 60);
        three[1] = three[0];
        _refused(three, 2, 4, 60);
    }

    function test_nobody_is_no_admin_no_relayer_and_no_target() public {
        address[] memory three = settlement.attesters();
        vm.expectRevert(IAcurastSettlement.ZeroAddress.selector);
        new AcurastSettlement(address(0), three, 2, RING, CLOSE_DELAY);
        vm.expectRevert(IAcurastSettlement.ZeroAddress.selector);
        vm.prank(ADMIN);
        settlement.grantRelayer(address(0), 9);
        vm.expectRevert(IAcurastSettlement.ZeroAddress.selector);
        vm.prank(address(0));
        settlement.bindTarget(address(0), OWNER_KEY);
    }

    function _refused(address[] memory attesters, uint8 threshold, uint32 ringSize, uint64 closeDelay) private {
        vm.expectRevert(IAcurastSettlement.InvalidDeployment.selector);
        new AcurastSettlement(ADMIN, attesters, threshold, ringSize, closeDelay);
    }
}
