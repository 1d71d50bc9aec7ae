// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Access} from "./settlement/Access.sol";
import {Delivery} from "./settlement/Delivery.sol";
import {Escrow} from "./settlement/Escrow.sol";
import {Roots} from "./settlement/Roots.sol";
import {IAcurastSettlement} from "./IAcurastSettlement.sol";

/// @title Settlement of Acurast jobs on this chain
/// @notice See `IAcurastSettlement`. Not upgradeable; attesters, threshold, ring size and close delay are fixed here.
contract AcurastSettlement is Delivery {
    /// @inheritdoc IAcurastSettlement
    string public constant override VERSION = "1.0.0";

    /// @param admin_ grants and revokes relayers, pauses
    /// @param attesters_ keys that may sign roots, 1 to 255, distinct
    /// @param threshold_ how many of them have to
    /// @param ringSize_ roots that a lane may have locked at once
    /// @param closeDelay_ seconds between close request or expiry and refund, 1 to one year
    constructor(address admin_, address[] memory attesters_, uint8 threshold_, uint32 ringSize_, uint64 closeDelay_)
        EIP712("Acurast Settlement", "1")
        Access(admin_)
        Escrow(closeDelay_)
        Roots(attesters_, threshold_, ringSize_)
    {}
}
