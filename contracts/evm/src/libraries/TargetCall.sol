// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFulfillable} from "../IAcurastSettlement.sol";

/// @title The call of a consumer contract that nobody trusts
/// @notice The callee gets a fixed amount of gas and none of its answer is copied: it can fail, and burn what it got,
/// and nothing else.
library TargetCall {
    /// @notice How a call ended.
    /// @dev `Starved`: too little gas was left to give the callee its limit; the call was not made.
    enum Outcome {
        Failed,
        Succeeded,
        Starved
    }

    /// @notice Gas kept beside the callee's limit: the call's own price and what leads up to it.
    uint256 private constant MARGIN = 5_000;

    /// @notice Gas that has to be left before a call with `gasLimit`. The EVM keeps back one 64th (EIP-150).
    function needed(uint256 gasLimit) internal pure returns (uint256) {
        return gasLimit * 64 / 63 + MARGIN;
    }

    /// @notice Calls `target.fulfill(jobId, payload)` with exactly `gasLimit` gas.
    function fulfill(address target, uint256 gasLimit, uint128 jobId, bytes calldata payload)
        internal
        returns (Outcome outcome)
    {
        if (target.code.length == 0) return Outcome.Failed;
        (uint256 data, uint256 size) = _write(jobId, payload);
        uint256 atLeast = needed(gasLimit);
        assembly ("memory-safe") {
            switch lt(gas(), atLeast)
            case 1 { outcome := 2 }
            default { outcome := call(gasLimit, target, 0, data, size, 0, 0) }
        }
    }

    /// @notice Calls `target.fulfill(jobId, payload)` with all the gas there is.
    function fulfillWithAll(address target, uint128 jobId, bytes calldata payload) internal returns (bool succeeded) {
        if (target.code.length == 0) return false;
        (uint256 data, uint256 size) = _write(jobId, payload);
        assembly ("memory-safe") {
            succeeded := call(gas(), target, 0, data, size, 0, 0)
        }
    }

    /// @dev Writes the call's data behind the free memory pointer, which stays, so that one stretch of memory serves a
    /// whole batch. Nothing may allocate between this and the call.
    function _write(uint128 jobId, bytes calldata payload) private pure returns (uint256 data, uint256 size) {
        bytes4 selector = IFulfillable.fulfill.selector;
        assembly ("memory-safe") {
            data := mload(0x40)
            let padded := and(add(payload.length, 31), not(31))
            size := add(100, padded)
            mstore(data, selector)
            mstore(add(data, 4), jobId)
            mstore(add(data, 36), 64)
            mstore(add(data, 68), payload.length)
            // An earlier, longer payload may have left bytes where this one's padding has to be zero.
            if padded { mstore(add(data, add(68, padded)), 0) }
            calldatacopy(add(data, 100), payload.offset, payload.length)
        }
    }
}
