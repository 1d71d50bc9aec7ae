// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {HostileTarget} from "./HostileTarget.sol";

/// @title Earns as many gas refunds as it can, by clearing what it stored before
contract RefundingTarget is HostileTarget {
    mapping(uint256 slot => uint256) private _stored;
    uint256 private _next;

    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) HostileTarget(settlement_) {}

    /// @notice Stores `count` words to be cleared by later outputs.
    function fill(uint256 count) external {
        for (uint256 i = 0; i < count; ++i) {
            _stored[_next++] = 1;
        }
    }

    /// @notice Clears as many words as the payload is long.
    function fulfill(uint128, bytes calldata payload) external override {
        for (uint256 i = 0; i < payload.length && _next != 0; ++i) {
            delete _stored[--_next];
        }
    }
}
