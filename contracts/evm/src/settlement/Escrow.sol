// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Access} from "./Access.sol";
import {IAcurastSettlement} from "../IAcurastSettlement.sol";

/// @title Accounts that pay for deliveries
/// @notice An account belongs to its opener, serves one target and one owner key, and never pays for another's jobs.
/// Invariant: the contract's balance is the sum of all accounts and all credits (a sum that forced ether can only
/// leave too small).
abstract contract Escrow is Access {
    /// @dev The first three slots are all that a delivery reads besides the caps' second one; it writes the first only.
    struct Account {
        uint128 balance;
        uint64 expiry;
        uint64 refundableAt;
        address target;
        uint64 closeRequestedAt;
        Caps caps;
        address opener;
        bytes32 ownerKey;
    }

    /// @inheritdoc IAcurastSettlement
    uint64 public constant override MAX_CALL_GAS_LIMIT = 12_000_000;
    /// @notice Expiries lie before this, seconds (year 5138): sums with the close delay stay within 64 bits.
    uint64 public constant MAX_EXPIRY = 100_000_000_000;
    /// @notice Bit of `Caps.modes` that lets a relayer call the target with outputs.
    uint32 public constant MODE_CALL = 1;
    uint64 private constant MAX_CLOSE_DELAY = 365 days;

    /// @inheritdoc IAcurastSettlement
    uint64 public immutable override closeDelay;
    /// @inheritdoc IAcurastSettlement
    mapping(address target => bytes32) public override ownerKeyOf;
    /// @inheritdoc IAcurastSettlement
    mapping(bytes32 escrowId => mapping(bytes32 assignmentId => bool)) public override isRevoked;

    mapping(bytes32 escrowId => Account) internal _accounts;

    constructor(uint64 closeDelay_) {
        if (closeDelay_ == 0 || closeDelay_ > MAX_CLOSE_DELAY) revert InvalidDeployment();
        closeDelay = closeDelay_;
    }

    /// @inheritdoc IAcurastSettlement
    function bindTarget(address target, bytes32 ownerKey) external override locked whenNotPaused {
        if (target == address(0)) revert ZeroAddress();
        if (ownerKey == bytes32(0)) revert ZeroOwnerKey();
        bytes32 bound = ownerKeyOf[target];
        if (bound != bytes32(0)) revert TargetAlreadyBound(target, bound);
        if (msg.sender != target && !_isOwnerOf(msg.sender, target)) revert NotTargetOwner(msg.sender);
        ownerKeyOf[target] = ownerKey;
        emit TargetBound(target, ownerKey);
    }

    /// @inheritdoc IAcurastSettlement
    function openEscrow(address target, bytes32 ownerKey, Caps calldata caps, uint64 expiry, bytes32 salt)
        external
        payable
        override
        locked
        whenNotPaused
        returns (bytes32 escrowId)
    {
        if (ownerKey == bytes32(0)) revert ZeroOwnerKey();
        if (ownerKeyOf[target] != ownerKey) revert TargetNotBound(target, ownerKeyOf[target]);
        if (caps.callGasLimit == 0 || caps.callGasLimit > MAX_CALL_GAS_LIMIT) revert InvalidCaps();
        if (expiry <= block.timestamp || expiry >= MAX_EXPIRY) revert InvalidExpiry(expiry);
        escrowId = keccak256(abi.encode(block.chainid, address(this), msg.sender, target, ownerKey, salt));
        Account storage entry = _accounts[escrowId];
        if (entry.opener != address(0)) revert EscrowExists(escrowId);
        entry.balance = _amount(msg.value);
        entry.expiry = expiry;
        entry.refundableAt = expiry + closeDelay;
        entry.target = target;
        entry.caps = caps;
        entry.opener = msg.sender;
        entry.ownerKey = ownerKey;
        emit EscrowOpened(escrowId, ownerKey, target, msg.sender, caps, expiry, salt, msg.value);
    }

    /// @inheritdoc IAcurastSettlement
    function topUp(bytes32 escrowId) external payable override locked whenNotPaused {
        Account storage entry = _known(escrowId);
        if (msg.value == 0) revert NothingToPay();
        if (block.timestamp >= entry.refundableAt) revert EscrowRefundable(escrowId, entry.refundableAt);
        entry.balance = _amount(uint256(entry.balance) + msg.value);
        emit EscrowToppedUp(escrowId, entry.ownerKey, msg.value);
    }

    /// @inheritdoc IAcurastSettlement
    function requestClose(bytes32 escrowId) external override locked {
        Account storage entry = _openedBySender(escrowId);
        if (entry.closeRequestedAt != 0) revert CloseAlreadyRequested(escrowId);
        entry.closeRequestedAt = uint64(block.timestamp);
        // After the expiry the delay runs already; a request can only make it end earlier.
        uint64 refundableAt = uint64(block.timestamp) + closeDelay;
        if (refundableAt < entry.refundableAt) entry.refundableAt = refundableAt;
        emit EscrowCloseRequested(escrowId, entry.ownerKey, entry.refundableAt);
    }

    /// @inheritdoc IAcurastSettlement
    function refund(bytes32 escrowId) external override locked {
        Account storage entry = _known(escrowId);
        if (block.timestamp < entry.refundableAt) revert NotRefundable(escrowId, entry.refundableAt);
        uint256 amount = entry.balance;
        if (amount == 0) revert NothingToPay();
        entry.balance = 0;
        address opener = entry.opener;
        emit EscrowRefunded(escrowId, entry.ownerKey, opener, amount);
        _pay(opener, amount);
    }

    /// @inheritdoc IAcurastSettlement
    function revoke(bytes32 escrowId, bytes32 assignmentId) external override locked {
        _openedBySender(escrowId);
        isRevoked[escrowId][assignmentId] = true;
        emit AssignmentRevoked(escrowId, assignmentId);
    }

    /// @inheritdoc IAcurastSettlement
    function account(bytes32 escrowId)
        external
        view
        override
        returns (
            address opener,
            address target,
            bytes32 ownerKey,
            Caps memory caps,
            uint64 expiry,
            uint64 closeRequestedAt,
            uint64 refundableAt,
            uint256 balance
        )
    {
        Account storage entry = _accounts[escrowId];
        return (
            entry.opener,
            entry.target,
            entry.ownerKey,
            entry.caps,
            entry.expiry,
            entry.closeRequestedAt,
            entry.refundableAt,
            entry.balance
        );
    }

    function _known(bytes32 escrowId) private view returns (Account storage entry) {
        entry = _accounts[escrowId];
        if (entry.opener == address(0)) revert UnknownEscrow(escrowId);
    }

    function _openedBySender(bytes32 escrowId) private view returns (Account storage entry) {
        entry = _known(escrowId);
        if (msg.sender != entry.opener) revert NotOpener(msg.sender);
    }

    function _amount(uint256 amount) private pure returns (uint128) {
        if (amount > type(uint128).max) revert AmountTooLarge(amount);
        return uint128(amount);
    }

    /// @dev Asks `target.owner()`. A target without code, without that function, or that answers more than an address
    /// has no owner. Only one word of its answer is copied.
    function _isOwnerOf(address sender, address target) private view returns (bool) {
        bytes memory question = abi.encodeWithSignature("owner()");
        bool answered;
        uint256 answer;
        assembly ("memory-safe") {
            answered := staticcall(gas(), target, add(question, 32), mload(question), 0, 32)
            answered := and(answered, gt(returndatasize(), 31))
            answer := mload(0)
        }
        return answered && answer == uint256(uint160(sender));
    }
}
