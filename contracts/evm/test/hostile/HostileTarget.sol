// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement, IFulfillable} from "../../src/IAcurastSettlement.sol";

/// @title What hostile targets have in common: an owner that may bind them
abstract contract HostileTarget is IFulfillable {
    /// @notice May bind the target and open accounts for it.
    address public immutable owner;
    /// @notice The settlement contract under attack.
    IAcurastSettlement public immutable settlement;

    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) {
        owner = msg.sender;
        settlement = settlement_;
    }
}
