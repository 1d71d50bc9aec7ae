// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {HostileTarget} from "./HostileTarget.sol";

/// @title Refuses every output until its owner makes it willing
contract RevertingTarget is HostileTarget {
    /// @notice Why it refuses.
    error Refused(uint128 jobId);

    /// @notice Whether it takes outputs.
    bool public willing;
    /// @notice Outputs taken.
    uint256 public taken;

    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) HostileTarget(settlement_) {}

    /// @notice Changes its mind.
    function setWilling(bool willing_) external {
        willing = willing_;
    }

    /// @notice Reverts unless willing.
    function fulfill(uint128 jobId, bytes calldata) external override {
        if (!willing) revert Refused(jobId);
        taken += 1;
    }
}
