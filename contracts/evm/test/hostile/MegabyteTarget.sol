// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAcurastSettlement} from "../../src/IAcurastSettlement.sol";
import {HostileTarget} from "./HostileTarget.sol";

/// @title Answers with a megabyte
/// @notice Making it costs about 2.1 million gas; copying it would cost the caller as much.
contract MegabyteTarget is HostileTarget {
    /// @param settlement_ the settlement contract
    constructor(IAcurastSettlement settlement_) HostileTarget(settlement_) {}

    /// @notice Returns 1,000,000 bytes when the payload is empty or starts with a zero byte, else reverts with them.
    function fulfill(uint128, bytes calldata payload) external pure override {
        bool refuse = payload.length != 0 && payload[0] != 0;
        assembly {
            if refuse { revert(0, 1000000) }
            return(0, 1000000)
        }
    }
}
