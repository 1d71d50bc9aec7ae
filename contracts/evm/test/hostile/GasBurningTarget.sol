// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {HostileTarget} from "./HostileTarget.sol";

/// @title Burns all the gas it gets
contract GasBurningTarget is HostileTarget {
    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) HostileTarget(settlement_) {}

    /// @notice Never returns.
    function fulfill(uint128, bytes calldata) external pure override {
        assembly {
            invalid()
        }
    }
}
