// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AcurastSettlement} from "../../src/AcurastSettlement.sol";
import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {Hashes} from "../../src/libraries/Hashes.sol";
import {Vm} from "./Vm.sol";

/// @title The cast of every test: admin, 2 of 3 attesters, a relayer in lane 7, a processor, consumers
abstract contract SettlementTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant PROCESSOR = 0xA11CE;
    uint256 internal constant START = 1_800_000_000;
    uint64 internal constant CLOSE_DELAY = 1 hours;
    uint32 internal constant RING = 4;
    uint64 internal constant LANE = uint64(7) << 48;
    bytes32 internal constant OWNER_KEY = keccak256("owner");
    address internal constant ADMIN = address(0xAD);
    address internal constant RELAYER = address(0x4E1A);
    address internal constant OPENER = address(0x0FE);

    uint256[3] internal attesterKeys = [uint256(0xA1), 0xA2, 0xA3];
    AcurastSettlement internal settlement;
    bytes32[] internal escrowIds;
    uint64 private _nextBit = LANE;
    uint256 private _nextSalt;

    function setUp() public virtual {
        vm.warp(START);
        vm.fee(1 gwei);
        vm.txGasPrice(2 gwei);
        address[] memory attesters = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            attesters[i] = vm.addr(attesterKeys[i]);
        }
        settlement = new AcurastSettlement(ADMIN, attesters, 2, RING, CLOSE_DELAY);
        vm.prank(ADMIN);
        settlement.grantRelayer(RELAYER, 7);
        vm.deal(OPENER, 1_000 ether);
    }

    // ------------------------------------------------------------------------------------------- accounts

    function defaultCaps() internal pure returns (IAcurastSettlement.Caps memory) {
        return IAcurastSettlement.Caps({
            maxFeePerGas: 100 gwei,
            maxPriorityFee: 10 gwei,
            callGasLimit: 300_000,
            maxPayload: 1_000,
            maxCharge: 0.01 ether,
            modes: 1
        });
    }

    function bindAs(address target, bytes32 ownerKey) internal {
        vm.prank(target);
        settlement.bindTarget(target, ownerKey);
    }

    function open(address target, IAcurastSettlement.Caps memory caps, uint256 amount) internal returns (bytes32 id) {
        if (settlement.ownerKeyOf(target) == bytes32(0)) bindAs(target, OWNER_KEY);
        vm.prank(OPENER);
        id = settlement.openEscrow{value: amount}(
            target, OWNER_KEY, caps, uint64(block.timestamp + 30 days), bytes32(_nextSalt++)
        );
        escrowIds.push(id);
    }

    function open(address target) internal returns (bytes32) {
        return open(target, defaultCaps(), 1 ether);
    }

    function balanceOf(bytes32 id) internal view returns (uint256 balance) {
        (,,,,,,, balance) = settlement.account(id);
    }

    function refundableAt(bytes32 id) internal view returns (uint64 moment) {
        (,,,,,, moment,) = settlement.account(id);
    }

    // --------------------------------------------------------------------------------------- roots, items

    function assignmentFor(bytes32 escrowId, uint128 jobId)
        internal
        returns (IAcurastSettlement.Assignment memory assignment)
    {
        assignment = IAcurastSettlement.Assignment({
            assignmentId: keccak256(abi.encode(escrowId, jobId)),
            escrowId: escrowId,
            jobId: jobId,
            keyType: 0,
            signerKey: bytes32(uint256(uint160(vm.addr(PROCESSOR)))),
            firstExecution: 10,
            executions: 5,
            notAfter: uint64((block.timestamp + 1 days) * 1000),
            bit: _nextBit
        });
        _nextBit += 6;
    }

    function list(IAcurastSettlement.Assignment memory one)
        internal
        pure
        returns (IAcurastSettlement.Assignment[] memory all)
    {
        all = new IAcurastSettlement.Assignment[](1);
        all[0] = one;
    }

    function leafOf(IAcurastSettlement.Assignment calldata assignment) external pure returns (bytes32) {
        return Hashes.assignmentLeaf(assignment);
    }

    /// @dev Nodes of the tree of sorted pairs, as OpenZeppelin's standard tree lays them out: node 0 is the root.
    function treeOf(IAcurastSettlement.Assignment[] memory all) internal view returns (bytes32[] memory nodes) {
        nodes = new bytes32[](2 * all.length - 1);
        for (uint256 i = 0; i < all.length; ++i) {
            nodes[nodes.length - 1 - i] = this.leafOf(all[i]);
        }
        for (uint256 i = all.length - 1; i > 0; --i) {
            (bytes32 a, bytes32 b) = (nodes[2 * i - 1], nodes[2 * i]);
            nodes[i - 1] = a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
        }
    }

    function proofOf(bytes32[] memory nodes, uint256 index) internal pure returns (bytes32[] memory proof) {
        uint256 depth = 0;
        for (uint256 node = nodes.length - 1 - index; node > 0; node = (node - 1) / 2) {
            ++depth;
        }
        proof = new bytes32[](depth);
        depth = 0;
        for (uint256 node = nodes.length - 1 - index; node > 0; node = (node - 1) / 2) {
            proof[depth++] = nodes[node % 2 == 1 ? node + 1 : node - 1];
        }
    }

    function rootFor(uint64 batch, IAcurastSettlement.Assignment[] memory all)
        internal
        view
        returns (IAcurastSettlement.Root memory)
    {
        return IAcurastSettlement.Root({
            root: treeOf(all)[0],
            batch: batch,
            leaves: uint32(all.length),
            lockedUntil: all[0].notAfter,
            sourceBlock: 1,
            sourceBlockHash: keccak256("source")
        });
    }

    function signed(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", settlement.domainSeparator(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function rootHash(IAcurastSettlement.Root calldata root) external pure returns (bytes32) {
        return Hashes.root(root);
    }

    function quorumFor(bytes32 structHash) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](2);
        signatures[0] = signed(attesterKeys[2], structHash);
        signatures[1] = signed(attesterKeys[0], structHash);
    }

    function post(uint64 batch, IAcurastSettlement.Assignment[] memory all) internal {
        IAcurastSettlement.Root memory root = rootFor(batch, all);
        bytes[] memory signatures = quorumFor(this.rootHash(root));
        vm.prank(RELAYER, RELAYER);
        settlement.postRoot(root, signatures);
    }

    function itemOf(
        uint64 batch,
        IAcurastSettlement.Assignment[] memory all,
        uint256 index,
        uint64 execution,
        bytes memory payload
    ) internal view returns (IAcurastSettlement.Item memory) {
        bytes32 structHash = Hashes.output(all[index].assignmentId, execution, keccak256(payload));
        return IAcurastSettlement.Item({
            batch: batch,
            assignment: all[index],
            proof: proofOf(treeOf(all), index),
            execution: execution,
            payload: payload,
            signature: signed(PROCESSOR, structHash)
        });
    }

    function items(IAcurastSettlement.Item memory one) internal pure returns (IAcurastSettlement.Item[] memory all) {
        all = new IAcurastSettlement.Item[](1);
        all[0] = one;
    }

    function items(IAcurastSettlement.Item memory one, IAcurastSettlement.Item memory two)
        internal
        pure
        returns (IAcurastSettlement.Item[] memory all)
    {
        all = new IAcurastSettlement.Item[](2);
        all[0] = one;
        all[1] = two;
    }

    /// @dev Delivers as the relayer and returns what the contract logged.
    function fulfill(IAcurastSettlement.Item[] memory all) internal returns (Vm.Log[] memory) {
        vm.recordLogs();
        vm.prank(RELAYER, RELAYER);
        settlement.fulfillBatch(all);
        return vm.getRecordedLogs();
    }

    // --------------------------------------------------------------------------------------------- events

    function count(Vm.Log[] memory logs, bytes32 selector) internal view returns (uint256 found) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(settlement) && logs[i].topics[0] == selector) ++found;
        }
    }

    /// @dev The n-th log (from 0) of that event.
    function nth(Vm.Log[] memory logs, bytes32 selector, uint256 n) internal view returns (Vm.Log memory) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(settlement) && logs[i].topics[0] == selector) {
                if (n == 0) return logs[i];
                --n;
            }
        }
        revert("no such event");
    }

    /// @dev Reason of the only `Skipped`.
    function skipReason(Vm.Log[] memory logs) internal view returns (uint8 reason) {
        vm.assertEq(count(logs, IAcurastSettlement.Skipped.selector), 1, "one item is skipped");
        (, reason) = abi.decode(nth(logs, IAcurastSettlement.Skipped.selector, 0).data, (uint64, uint8));
    }

    function successOf(Vm.Log[] memory logs, uint256 n) internal view returns (bool success) {
        (, success,) = abi.decode(nth(logs, IAcurastSettlement.Settled.selector, n).data, (uint64, bool, bytes32));
    }

    /// @dev What the contract holds is what it owes: the balances of all accounts and the relayer's credit.
    function assertSolvent() internal view {
        uint256 owed = settlement.creditOf(RELAYER);
        for (uint256 i = 0; i < escrowIds.length; ++i) {
            owed += balanceOf(escrowIds[i]);
        }
        vm.assertEq(address(settlement).balance, owed, "balance = accounts + credits");
    }
}
