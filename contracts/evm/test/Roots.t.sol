// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {Hashes} from "../src/libraries/Hashes.sol";
import {SettlementTest} from "./support/SettlementTest.sol";

/// @title Quorum, ring, revocation, shares
contract RootsTest is SettlementTest {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    IAcurastSettlement.Assignment[] private _all;
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        _id = open(address(new Consumer(settlement)));
        _all.push(assignmentFor(_id, 1));
    }

    // ------------------------------------------------------------------------------------------- quorum

    function test_a_root_needs_k_signatures_of_distinct_attesters() public {
        IAcurastSettlement.Root memory root = rootFor(LANE, _all);
        bytes32 structHash = this.rootHash(root);
        bytes[] memory one = new bytes[](1);
        one[0] = signed(attesterKeys[0], structHash);
        _refused(root, one, abi.encodeWithSelector(IAcurastSettlement.QuorumNotMet.selector, 1, 2));
        bytes[] memory four = new bytes[](4);
        _refused(root, four, abi.encodeWithSelector(IAcurastSettlement.QuorumNotMet.selector, 4, 2));

        bytes[] memory twice = quorumFor(structHash);
        twice[1] = twice[0];
        _refused(root, twice, abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 1));
        bytes[] memory stranger = quorumFor(structHash);
        stranger[1] = signed(0xBAD, structHash);
        _refused(root, stranger, abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 1));
        bytes[] memory otherRoot = quorumFor(structHash);
        otherRoot[0] = signed(attesterKeys[1], keccak256("other"));
        _refused(root, otherRoot, abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 0));

        bytes[] memory three = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            three[i] = signed(attesterKeys[i], structHash);
        }
        vm.prank(RELAYER, RELAYER);
        settlement.postRoot(root, three);
        (bytes32 held,,,,,,,) = settlement.rootOf(LANE);
        vm.assertEq(held, root.root, "n of n is fine too");
    }

    function test_an_attestation_in_another_form_is_refused() public {
        IAcurastSettlement.Root memory root = rootFor(LANE, _all);
        bytes32 structHash = this.rootHash(root);
        bytes[] memory mirrored = quorumFor(structHash);
        mirrored[0] = _mirrored(mirrored[0]);
        _refused(root, mirrored, abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 0));
        bytes[] memory short = quorumFor(structHash);
        short[1] = hex"";
        _refused(root, short, abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 1));
    }

    function test_every_field_of_a_root_is_attested() public {
        IAcurastSettlement.Root memory root = rootFor(LANE, _all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 0);
        for (uint256 field = 0; field < 6; ++field) {
            IAcurastSettlement.Root memory forged = rootFor(LANE, _all);
            if (field == 0) forged.root = keccak256("forged");
            if (field == 1) forged.batch += 1;
            if (field == 2) forged.leaves += 1;
            if (field == 3) forged.lockedUntil += 1;
            if (field == 4) forged.sourceBlock += 1;
            if (field == 5) forged.sourceBlockHash = keccak256("forged");
            _refused(forged, signatures, refusal);
        }
    }

    // --------------------------------------------------------------------------------------------- ring

    function test_only_the_relayer_of_its_lane_posts_a_root() public {
        IAcurastSettlement.Root memory root = rootFor(uint64(8) << 48, _all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        _refused(root, signatures, abi.encodeWithSelector(IAcurastSettlement.WrongLane.selector, 0, root.batch));
        root = rootFor(LANE, _all);
        signatures = quorumFor(this.rootHash(root));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.NotRelayer.selector, OPENER));
        vm.prank(OPENER, OPENER);
        settlement.postRoot(root, signatures);
    }

    function test_a_root_without_leaves_is_refused() public {
        IAcurastSettlement.Root memory root = rootFor(LANE, _all);
        root.leaves = 0;
        _refused(root, quorumFor(this.rootHash(root)), abi.encodeWithSelector(IAcurastSettlement.EmptyRoot.selector));
        root = rootFor(LANE, _all);
        root.root = bytes32(0);
        _refused(root, quorumFor(this.rootHash(root)), abi.encodeWithSelector(IAcurastSettlement.EmptyRoot.selector));
    }

    function test_a_ring_slot_is_overwritten_only_after_lockedUntil_and_only_by_a_later_batch() public {
        post(LANE + 1, _all);
        uint64 lockedUntil = _all[0].notAfter;
        IAcurastSettlement.Root memory next = rootFor(LANE + 1 + RING, _all);
        bytes[] memory signatures = quorumFor(this.rootHash(next));
        bytes memory refusal =
            abi.encodeWithSelector(IAcurastSettlement.RingSlotLocked.selector, next.batch, LANE + 1, lockedUntil);
        _refused(next, signatures, refusal);
        vm.warp(lockedUntil / 1000);
        _refused(next, signatures, refusal);
        vm.warp(lockedUntil / 1000 + 1);
        vm.prank(RELAYER, RELAYER);
        settlement.postRoot(next, signatures);
        (bytes32 gone,,,,,,,) = settlement.rootOf(LANE + 1);
        vm.assertEq(gone, bytes32(0), "the earlier root is gone");

        IAcurastSettlement.Root memory earlier = rootFor(LANE + 1, _all);
        _refused(
            earlier,
            quorumFor(this.rootHash(earlier)),
            abi.encodeWithSelector(IAcurastSettlement.RingSlotLocked.selector, earlier.batch, next.batch, lockedUntil)
        );
    }

    function test_lanes_and_neighbouring_slots_do_not_touch_each_other() public {
        address second = address(0x2222);
        vm.prank(ADMIN);
        settlement.grantRelayer(second, 8);
        for (uint64 i = 0; i < RING; ++i) {
            post(LANE + i, _all);
        }
        uint64 other = uint64(8) << 48;
        IAcurastSettlement.Root memory root = rootFor(other, _all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        vm.prank(second, second);
        settlement.postRoot(root, signatures);
        for (uint64 i = 0; i < RING; ++i) {
            (bytes32 held,,,,,,,) = settlement.rootOf(LANE + i);
            vm.assertTrue(held != bytes32(0), "held");
        }
    }

    // --------------------------------------------------------------------------------------- revocation

    function test_k_attesters_stop_a_root() public {
        post(LANE, _all);
        bytes32 root = treeOf(_all)[0];
        bytes[] memory wrong = quorumFor(Hashes.revokeRoot(LANE + 1, root));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.InvalidAttestation.selector, 0));
        settlement.revokeRoot(LANE, wrong);
        bytes[] memory signatures = quorumFor(Hashes.revokeRoot(LANE, root));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.UnknownRoot.selector, 0, LANE + RING));
        settlement.revokeRoot(LANE + RING, signatures);
        settlement.revokeRoot(LANE, signatures);
        (,,,,,,, bool revoked) = settlement.rootOf(LANE);
        vm.assertTrue(revoked, "revoked");

        IAcurastSettlement.Item[] memory batch = items(itemOf(LANE, _all, 0, 10, "x"));
        bytes memory refusal = abi.encodeWithSelector(IAcurastSettlement.RevokedRoot.selector, 0, LANE);
        vm.startPrank(RELAYER, RELAYER);
        vm.expectRevert(refusal);
        settlement.fulfillBatch(batch);
        vm.expectRevert(refusal);
        settlement.chargeRoot(LANE, _all[0], new bytes32[](0));
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------- shares

    function test_the_shares_of_all_leaves_sum_to_the_whole(uint8 leaves, uint64 price) public {
        uint256 n = uint256(leaves) % 24 + 1;
        vm.txGasPrice(uint256(price) % 90 gwei + 1 gwei);
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](n);
        for (uint128 i = 0; i < n; ++i) {
            all[i] = assignmentFor(_id, i);
        }
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.maxPriorityFee = 100 gwei;
        caps.maxFeePerGas = 200 gwei;
        bytes32 id = open(address(new Consumer(settlement)), caps, 10 ether);
        for (uint256 i = 0; i < n; ++i) {
            all[i].escrowId = id;
        }
        post(LANE, all);
        (,,, uint64 gas, uint128 paidPrice,,,) = settlement.rootOf(LANE);
        vm.assertEq(paidPrice, tx.gasprice, "price");
        bytes32[] memory nodes = treeOf(all);
        uint256 sum = 0;
        for (uint256 i = 0; i < n; ++i) {
            uint256 before = balanceOf(id);
            vm.prank(RELAYER, RELAYER);
            settlement.chargeRoot(LANE, all[i], proofOf(nodes, i));
            uint256 share = before - balanceOf(id);
            uint256 even = uint256(gas) * tx.gasprice / n;
            vm.assertTrue(share == even || share == even + 1, "a share is even, or one wei more");
            sum += share;
        }
        vm.assertEq(sum, uint256(gas) * tx.gasprice, "the whole");
        vm.assertEq(settlement.creditOf(RELAYER), sum, "credited");
        assertSolvent();
    }

    function test_a_share_is_taken_at_the_accounts_price() public {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.maxPriorityFee = 0.5 gwei;
        bytes32 id = open(address(new Consumer(settlement)), caps, 1 ether);
        caps.maxFeePerGas = 1.25 gwei;
        bytes32 cheaper = open(address(new Consumer(settlement)), caps, 1 ether);
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](2);
        all[0] = assignmentFor(id, 1);
        all[1] = assignmentFor(cheaper, 2);
        post(LANE, all);
        (,,, uint64 gas,,,,) = settlement.rootOf(LANE);
        bytes32[] memory nodes = treeOf(all);
        vm.startPrank(RELAYER, RELAYER);
        settlement.chargeRoot(LANE, all[0], proofOf(nodes, 0));
        settlement.chargeRoot(LANE, all[1], proofOf(nodes, 1));
        vm.stopPrank();
        uint256 first = uint256(gas) * 1.5 gwei / 2;
        vm.assertEq(1 ether - balanceOf(id), first, "base fee and tip at most");
        uint256 total = uint256(gas) * 1.25 gwei;
        vm.assertEq(1 ether - balanceOf(cheaper), total - total / 2, "the highest fee at most");
    }

    function test_a_share_is_paid_once_whichever_way() public {
        post(LANE, _all);
        vm.prank(RELAYER, RELAYER);
        settlement.chargeRoot(LANE, _all[0], new bytes32[](0));
        vm.assertTrue(settlement.isSettled(_all[0].bit + _all[0].executions), "the leaf's last bit records it");
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RootShareAlreadyPaid.selector, _all[0].assignmentId));
        vm.prank(RELAYER, RELAYER);
        settlement.chargeRoot(LANE, _all[0], new bytes32[](0));
        // Neither by a delivery, nor under another root.
        post(LANE + 1, _all);
        fulfill(items(itemOf(LANE + 1, _all, 0, 10, "x")));
        (,,,,,, uint32 paid,) = settlement.rootOf(LANE + 1);
        vm.assertEq(paid, 0, "the second root took no share");
    }

    function test_chargeRoot_refuses_what_it_can_not_charge() public {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        bytes32 poor = open(address(new Consumer(settlement)), caps, 0);
        IAcurastSettlement.Assignment[] memory all = new IAcurastSettlement.Assignment[](3);
        all[0] = assignmentFor(poor, 1);
        all[1] = assignmentFor("never opened", 2);
        all[2] = assignmentFor(_id, 3);
        post(LANE, all);
        bytes32[] memory nodes = treeOf(all);
        (,,, uint64 gas, uint128 price,,,) = settlement.rootOf(LANE);
        uint256 share = uint256(gas) * price / 3;
        vm.startPrank(RELAYER, RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.EscrowTooSmall.selector, poor, 0, share));
        settlement.chargeRoot(LANE, all[0], proofOf(nodes, 0));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.UnknownEscrow.selector, bytes32("never opened")));
        settlement.chargeRoot(LANE, all[1], proofOf(nodes, 1));
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.InvalidProof.selector, 0));
        settlement.chargeRoot(LANE, all[2], proofOf(nodes, 1));
        vm.stopPrank();
        vm.prank(OPENER);
        settlement.revoke(_id, all[2].assignmentId);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.RevokedAssignment.selector, all[2].assignmentId));
        vm.prank(RELAYER, RELAYER);
        settlement.chargeRoot(LANE, all[2], proofOf(nodes, 2));
        uint64 moment = refundableAt(poor);
        vm.warp(moment);
        vm.expectRevert(abi.encodeWithSelector(IAcurastSettlement.EscrowRefundable.selector, poor, moment));
        vm.prank(RELAYER, RELAYER);
        settlement.chargeRoot(LANE, all[0], proofOf(nodes, 0));
    }

    function _refused(IAcurastSettlement.Root memory root, bytes[] memory signatures, bytes memory refusal) private {
        vm.expectRevert(refusal);
        vm.prank(RELAYER, RELAYER);
        settlement.postRoot(root, signatures);
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
