// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {GasBurningTarget} from "./hostile/GasBurningTarget.sol";
import {SettlementTest} from "./support/SettlementTest.sol";

/// @title Binding, opening, topping up, closing
contract EscrowTest is SettlementTest {
    address private constant STRANGER = address(0x5742);
    Consumer private _consumer;

    function setUp() public override {
        super.setUp();
        vm.prank(OPENER);
        _consumer = new Consumer(settlement);
    }

    function test_a_target_is_bound_by_itself_or_its_owner_and_once() public {
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotTargetOwner.selector, STRANGER));
        vm.prank(STRANGER);
        settlement.bindTarget(address(_consumer), OWNER_KEY);
        vm.prank(OPENER);
        settlement.bindTarget(address(_consumer), OWNER_KEY);
        vm.assertEq(settlement.ownerKeyOf(address(_consumer)), OWNER_KEY, "bound by its owner");
        vm.expectRevert(
            abi.encodeWithSelector(IAcurastSettlement.TargetAlreadyBound.selector, address(_consumer), OWNER_KEY)
        );
        vm.prank(OPENER);
        settlement.bindTarget(address(_consumer), keccak256("another"));

        vm.startPrank(OPENER, OPENER);
        Consumer second = new Consumer(settlement);
        second.bind(OWNER_KEY);
        vm.stopPrank();
        vm.assertEq(settlement.ownerKeyOf(address(second)), OWNER_KEY, "bound by itself");
    }

    function test_what_has_no_owner_can_only_bind_itself() public {
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.NotTargetOwner.selector, address(0));
        vm.expectRevert(refusal);
        vm.prank(address(0));
        settlement.bindTarget(STRANGER, OWNER_KEY);
        vm.expectRevert(refusal);
        vm.prank(address(0));
        settlement.bindTarget(address(settlement), OWNER_KEY);
        bindAs(STRANGER, OWNER_KEY);
        vm.assertEq(settlement.ownerKeyOf(STRANGER), OWNER_KEY, "a plain account binds itself");
    }

    function test_an_owner_key_of_zero_binds_nothing() public {
        vm.expectRevert(IAcurastSettlement.ZeroOwnerKey.selector);
        vm.prank(OPENER);
        settlement.bindTarget(address(_consumer), bytes32(0));
        vm.expectRevert(IAcurastSettlement.ZeroOwnerKey.selector);
        vm.prank(OPENER);
        settlement.openEscrow(STRANGER, bytes32(0), defaultCaps(), uint64(block.timestamp + 1), 0);
    }

    function test_an_account_has_the_id_of_the_protocol_and_what_it_was_opened_with() public {
        bindAs(address(_consumer), OWNER_KEY);
        uint64 expiry = uint64(block.timestamp + 30 days);
        vm.prank(OPENER);
        bytes32 id = settlement.openEscrow{value: 3 ether}(address(_consumer), OWNER_KEY, defaultCaps(), expiry, "salt");
        vm.assertEq(
            id,
            keccak256(
                abi.encode(block.chainid, address(settlement), OPENER, address(_consumer), OWNER_KEY, bytes32("salt"))
            ),
            "id"
        );
        (
            address opener,
            address target,
            bytes32 ownerKey,
            IAcurastSettlement.Caps memory caps,
            uint64 expiry_,
            uint64 closeRequestedAt,
            uint64 refundableAt_,
            uint256 balance
        ) = settlement.account(id);
        vm.assertEq(opener, OPENER, "opener");
        vm.assertEq(target, address(_consumer), "target");
        vm.assertEq(ownerKey, OWNER_KEY, "owner key");
        vm.assertEq(keccak256(abi.encode(caps)), keccak256(abi.encode(defaultCaps())), "caps");
        vm.assertEq(expiry_, expiry, "expiry");
        vm.assertEq(closeRequestedAt, 0, "no close request");
        vm.assertEq(refundableAt_, expiry + CLOSE_DELAY, "refundable after expiry and delay");
        vm.assertEq(balance, 3 ether, "balance");
    }

    function test_a_consumer_contract_opens_and_closes_its_own_account() public {
        vm.startPrank(OPENER, OPENER);
        _consumer.bind(OWNER_KEY);
        bytes32 id = _consumer.openEscrow{value: 1 ether}(OWNER_KEY, defaultCaps(), uint64(block.timestamp + 1 days), 0);
        (address opener, address target,,,,,,) = settlement.account(id);
        vm.assertEq(opener, address(_consumer), "opener is the target");
        vm.assertEq(target, address(_consumer), "target");
        _consumer.requestClose(id);
        vm.warp(block.timestamp + CLOSE_DELAY);
        settlement.refund(id);
        vm.assertEq(address(_consumer).balance, 1 ether, "the consumer has its money back");
        uint256 before = OPENER.balance;
        _consumer.withdraw(payable(OPENER));
        vm.assertEq(OPENER.balance, before + 1 ether, "and its owner can take it");
        vm.stopPrank();
    }

    function test_opening_refuses_what_makes_no_sense() public {
        bindAs(address(_consumer), OWNER_KEY);
        bytes32 other = keccak256("other");
        uint64 later = uint64(block.timestamp + 1);
        IAcurastSettlement.Caps memory caps = defaultCaps();
        vm.startPrank(OPENER, OPENER);
        vm.expectRevert(
            abi.encodeWithSelector(IAcurastSettlement.TargetNotBound.selector, address(_consumer), OWNER_KEY)
        );
        settlement.openEscrow(address(_consumer), other, caps, later, 0);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.InvalidExpiry.selector, block.timestamp));
        settlement.openEscrow(address(_consumer), OWNER_KEY, caps, uint64(block.timestamp), 0);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.InvalidExpiry.selector, type(uint64).max));
        settlement.openEscrow(address(_consumer), OWNER_KEY, caps, type(uint64).max, 0);
        caps.callGasLimit = 0;
        vm.expectRevert(IAcurastSettlement.InvalidCaps.selector);
        settlement.openEscrow(address(_consumer), OWNER_KEY, caps, later, 0);
        caps.callGasLimit = settlement.MAX_CALL_GAS_LIMIT() + 1;
        vm.expectRevert(IAcurastSettlement.InvalidCaps.selector);
        settlement.openEscrow(address(_consumer), OWNER_KEY, caps, later, 0);
        vm.stopPrank();
    }

    function test_an_id_is_opened_once_also_after_its_refund() public {
        bindAs(address(_consumer), OWNER_KEY);
        uint64 expiry = uint64(block.timestamp + 1 days);
        vm.startPrank(OPENER, OPENER);
        bytes32 id = settlement.openEscrow{value: 1}(address(_consumer), OWNER_KEY, defaultCaps(), expiry, 0);
        vm.warp(expiry + CLOSE_DELAY);
        settlement.refund(id);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.EscrowExists.selector, id));
        settlement.openEscrow(address(_consumer), OWNER_KEY, defaultCaps(), expiry + 30 days, 0);
        vm.stopPrank();
    }

    function test_anybody_tops_up_until_the_account_is_refundable() public {
        bytes32 id = open(address(_consumer));
        vm.deal(STRANGER, 3 ether);
        vm.prank(STRANGER);
        settlement.topUp{value: 2 ether}(id);
        vm.assertEq(balanceOf(id), 3 ether, "topped up");
        vm.expectRevert(IAcurastSettlement.NothingToPay.selector);
        settlement.topUp(id);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.UnknownEscrow.selector, bytes32("none")));
        settlement.topUp("none");
        uint64 moment = refundableAt(id);
        vm.warp(moment);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.EscrowRefundable.selector, id, moment));
        vm.prank(STRANGER);
        settlement.topUp{value: 1}(id);
        assertSolvent();
    }

    function test_the_rest_is_the_openers_after_the_close_delay_and_not_before() public {
        bytes32 id = open(address(_consumer));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotOpener.selector, STRANGER));
        vm.prank(STRANGER);
        settlement.requestClose(id);
        vm.prank(OPENER);
        settlement.requestClose(id);
        uint64 moment = uint64(block.timestamp) + CLOSE_DELAY;
        vm.assertEq(refundableAt(id), moment, "the delay runs");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.CloseAlreadyRequested.selector, id));
        vm.prank(OPENER);
        settlement.requestClose(id);
        vm.warp(moment - 1);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRefundable.selector, id, moment));
        settlement.refund(id);
        vm.warp(moment);
        uint256 before = OPENER.balance;
        vm.prank(STRANGER);
        settlement.refund(id);
        vm.assertEq(OPENER.balance, before + 1 ether, "whoever asks, the opener is paid");
        vm.expectRevert(IAcurastSettlement.NothingToPay.selector);
        settlement.refund(id);
        assertSolvent();
    }

    function test_an_expiry_starts_the_close_delay_without_a_request() public {
        bytes32 id = open(address(_consumer));
        (,,,, uint64 expiry,,,) = settlement.account(id);
        vm.warp(expiry + CLOSE_DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRefundable.selector, id, expiry + CLOSE_DELAY));
        settlement.refund(id);
        // A late request can't put the end off.
        vm.prank(OPENER);
        settlement.requestClose(id);
        vm.warp(expiry + CLOSE_DELAY);
        settlement.refund(id);
        vm.assertEq(balanceOf(id), 0, "refunded");
    }

    function test_an_opener_that_refuses_money_keeps_its_account() public {
        GasBurningTarget refusing = new GasBurningTarget(settlement);
        bindAs(address(refusing), OWNER_KEY);
        vm.deal(address(refusing), 1 ether);
        vm.prank(address(refusing));
        bytes32 id = settlement.openEscrow{value: 1 ether}(
            address(refusing), OWNER_KEY, defaultCaps(), uint64(block.timestamp + 1), 0
        );
        vm.warp(block.timestamp + 1 + CLOSE_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.PaymentRefused.selector, address(refusing), 1 ether));
        settlement.refund(id);
        vm.assertEq(balanceOf(id), 1 ether, "nothing is lost");
    }

    function test_a_balance_stays_within_128_bits() public {
        bytes32 id = open(address(_consumer));
        uint256 most = type(uint128).max - 1 ether;
        vm.deal(STRANGER, most + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAcurastSettlement.AmountTooLarge.selector, uint256(type(uint128).max) + 1)
        );
        vm.prank(STRANGER);
        settlement.topUp{value: most + 1}(id);
        vm.prank(STRANGER);
        settlement.topUp{value: most}(id);
        vm.assertEq(balanceOf(id), type(uint128).max, "the most that fits");
        assertSolvent();
    }

    function test_only_the_opener_revokes_an_assignment() public {
        bytes32 id = open(address(_consumer));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotOpener.selector, STRANGER));
        vm.prank(STRANGER);
        settlement.revoke(id, "assignment");
        vm.prank(OPENER);
        settlement.revoke(id, "assignment");
        vm.assertTrue(settlement.isRevoked(id, "assignment"), "revoked");
    }
}
