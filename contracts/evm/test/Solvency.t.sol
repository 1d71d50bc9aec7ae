// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../src/IAcurastSettlement.sol";
import {Consumer} from "../src/examples/Consumer.sol";
import {GasBurningTarget} from "./hostile/GasBurningTarget.sol";
import {ReenteringTarget} from "./hostile/ReenteringTarget.sol";
import {RefundingTarget} from "./hostile/RefundingTarget.sol";
import {RevertingTarget} from "./hostile/RevertingTarget.sol";
import {SettlementTest} from "./support/SettlementTest.sol";

/// @title Whatever happens in whatever order, the contract holds exactly what it owes
/// @dev The fuzzer calls the `act` functions in random order with random arguments.
contract SolvencyTest is SettlementTest {
    // Each opening posts a root, and all of them have to find a free ring slot: 5 at once, then 3.
    uint256 private constant ACCOUNTS_MAX = 8;
    IAcurastSettlement.Assignment[] private _all;
    uint64 private _batch = LANE;
    uint256 public delivered;

    function setUp() public override {
        super.setUp();
        address[5] memory targets = [
            address(new Consumer(settlement)),
            address(new RevertingTarget(settlement)),
            address(new GasBurningTarget(settlement)),
            address(new ReenteringTarget(settlement)),
            address(new RefundingTarget(settlement))
        ];
        for (uint256 i = 0; i < 5; ++i) {
            _open(targets[i], 0.05 ether);
        }
        _post();
    }

    function targetContracts() external view returns (address[] memory only) {
        only = new address[](1);
        only[0] = address(this);
    }

    /// @dev A sender of no concern. Left to choose, the fuzzer also takes the settlement contract itself, and then books
    /// the gas of its own transaction on that balance.
    function targetSenders() external pure returns (address[] memory only) {
        only = new address[](1);
        only[0] = address(0xF0);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory only) {
        only = new FuzzSelector[](1);
        only[0].addr = address(this);
        bytes4[] memory acts = new bytes4[](9);
        acts[0] = this.actFulfill.selector;
        acts[1] = this.actFulfill.selector;
        acts[2] = this.actFulfill.selector;
        acts[3] = this.actTopUp.selector;
        acts[4] = this.actClose.selector;
        acts[5] = this.actWithdraw.selector;
        acts[6] = this.actChargeRoot.selector;
        acts[7] = this.actReopen.selector;
        acts[8] = this.actPass.selector;
        only[0].selectors = acts;
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function actFulfill(uint256 seed) external {
        uint256 size = seed % 4 + 1;
        IAcurastSettlement.Item[] memory batch = new IAcurastSettlement.Item[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint64 execution = 10 + uint64(random >> 32) % 5;
            bytes memory payload = new bytes((random >> 64) % 1_100);
            batch[i] = itemOf(_batch, _all, random % _all.length, execution, payload);
        }
        vm.txGasPrice(block.basefee + seed % 20 gwei);
        fulfill(batch);
        delivered += 1;
    }

    function actTopUp(uint256 seed) external {
        bytes32 id = escrowIds[seed % escrowIds.length];
        if (block.timestamp >= refundableAt(id)) return;
        vm.prank(OPENER);
        settlement.topUp{value: seed % 0.1 ether + 1}(id);
    }

    function actClose(uint256 seed) external {
        bytes32 id = escrowIds[seed % escrowIds.length];
        (,,,,, uint64 requestedAt, uint64 moment, uint256 balance) = settlement.account(id);
        if (requestedAt == 0) {
            vm.prank(OPENER);
            settlement.requestClose(id);
        } else if (block.timestamp >= moment && balance != 0) {
            settlement.refund(id);
        }
    }

    function actWithdraw(uint256 seed) external {
        uint256 credit = settlement.creditOf(RELAYER);
        if (credit == 0) return;
        vm.prank(RELAYER);
        settlement.withdraw(seed % credit + 1);
    }

    function actChargeRoot(uint256 seed) external {
        uint256 index = seed % _all.length;
        IAcurastSettlement.Assignment memory assignment = _all[index];
        if (settlement.isSettled(assignment.bit + assignment.executions)) return;
        if (block.timestamp >= refundableAt(assignment.escrowId)) return;
        if (balanceOf(assignment.escrowId) < 0.001 ether) return;
        bytes32[] memory proof = proofOf(treeOf(_all), index);
        vm.prank(RELAYER, RELAYER);
        settlement.chargeRoot(_batch, assignment, proof);
    }

    function actReopen(uint256 seed) external {
        if (escrowIds.length >= ACCOUNTS_MAX) return;
        (, address target,,,,,,) = settlement.account(escrowIds[seed % escrowIds.length]);
        _open(target, seed % 0.1 ether);
        _post();
    }

    function actPass(uint256 seed) external {
        vm.warp(block.timestamp + seed % 40 minutes);
    }

    function invariant_the_contract_holds_what_it_owes() external view {
        assertSolvent();
    }

    function _open(address target, uint256 amount) private {
        IAcurastSettlement.Caps memory caps = defaultCaps();
        caps.maxCharge = 0.02 ether;
        caps.maxFeePerGas = uint128(2 gwei + amount % 20 gwei);
        _all.push(assignmentFor(open(target, caps, amount), uint128(_all.length)));
    }

    /// @dev All assignments so far, under a new root: what settled before stays settled.
    function _post() private {
        _batch += 1;
        post(_batch, _all);
    }
}
