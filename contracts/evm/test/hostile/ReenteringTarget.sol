// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {HostileTarget} from "./HostileTarget.sol";

/// @title Tries every state-changing entry point while an output is delivered to it, and takes the output
contract ReenteringTarget is HostileTarget {
    /// @notice How often it was called.
    uint256 public calls;
    /// @notice Attempts that the settlement contract refused because it is locked.
    uint256 public refused;
    /// @notice Attempts that got through, or failed for another reason than the lock.
    uint256 public passed;
    /// @notice The account that it tries to have refunded and topped up.
    bytes32 public escrowId;

    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) HostileTarget(settlement_) {}

    /// @notice Takes ether to top up with.
    receive() external payable {}

    /// @notice Names the account to attack.
    function setEscrow(bytes32 escrowId_) external {
        escrowId = escrowId_;
    }

    /// @notice Reenters, counts, succeeds.
    function fulfill(uint128 jobId, bytes calldata payload) external override {
        calls += 1;
        IAcurastSettlement.Item[] memory items = new IAcurastSettlement.Item[](1);
        items[0].assignment.jobId = jobId;
        items[0].payload = payload;
        IAcurastSettlement.Caps memory caps;
        IAcurastSettlement.Root memory root;
        bytes[] memory none;
        _try(abi.encodeCall(settlement.fulfillBatch, (items)), 0);
        _try(abi.encodeCall(settlement.redeliver, (items[0])), 0);
        _try(abi.encodeCall(settlement.chargeRoot, (0, items[0].assignment, items[0].proof)), 0);
        _try(abi.encodeCall(settlement.refund, (escrowId)), 0);
        _try(abi.encodeCall(settlement.withdraw, (1)), 0);
        _try(abi.encodeCall(settlement.topUp, (escrowId)), address(this).balance == 0 ? 0 : 1);
        _try(abi.encodeCall(settlement.requestClose, (escrowId)), 0);
        _try(abi.encodeCall(settlement.revoke, (escrowId, bytes32(0))), 0);
        _try(abi.encodeCall(settlement.openEscrow, (address(this), bytes32(uint256(1)), caps, 1, 0)), 0);
        _try(abi.encodeCall(settlement.bindTarget, (address(this), bytes32(uint256(1)))), 0);
        _try(abi.encodeCall(settlement.postRoot, (root, none)), 0);
        _try(abi.encodeCall(settlement.revokeRoot, (0, none)), 0);
        _try(abi.encodeCall(settlement.acceptAdmin, ()), 0);
    }

    function _try(bytes memory data, uint256 value) private {
        (bool done, bytes memory answer) = address(settlement).call{value: value}(data);
        // The lock is the first thing checked, so that its error is the only one to be seen.
        if (!done && answer.length == 4 && bytes4(answer) == IAcurastSettlement.Locked.selector) refused += 1;
        else passed += 1;
    }
}
