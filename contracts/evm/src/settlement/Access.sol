// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {IAcurastSettlement} from "../IAcurastSettlement.sol";

/// @title Who may do what, and what relayers have earned
/// @notice Admin (two-step), relayers with their lanes and credits, the pause, and the lock that every state-changing
/// entry point takes. Invariant: a lane number never belongs to a second key.
abstract contract Access is IAcurastSettlement, Pausable {
    /// @dev One slot, which is never zero once the key has a lane: crediting costs the same the first time and later.
    struct Relayer {
        uint128 credit;
        uint16 lane;
        bool known;
        bool granted;
    }

    /// @inheritdoc IAcurastSettlement
    address public override admin;
    /// @inheritdoc IAcurastSettlement
    address public override pendingAdmin;
    /// @inheritdoc IAcurastSettlement
    mapping(uint16 lane => address relayer) public override relayerOf;

    mapping(address key => Relayer) private _relayers;
    bool private transient _locked;

    /// @dev Transient, so that taking and leaving it puts nothing on the refund counter.
    modifier locked() {
        _lock();
        _;
        _unlock();
    }

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        _;
    }

    constructor(address admin_) {
        if (admin_ == address(0)) revert ZeroAddress();
        admin = admin_;
        emit AdminTransferred(address(0), admin_);
    }

    /// @inheritdoc IAcurastSettlement
    function transferAdmin(address pendingAdmin_) external override locked onlyAdmin {
        pendingAdmin = pendingAdmin_;
        emit AdminTransferStarted(admin, pendingAdmin_);
    }

    /// @inheritdoc IAcurastSettlement
    function acceptAdmin() external override locked {
        if (msg.sender != pendingAdmin) revert NotPendingAdmin(msg.sender);
        emit AdminTransferred(admin, msg.sender);
        admin = msg.sender;
        pendingAdmin = address(0);
    }

    /// @inheritdoc IAcurastSettlement
    function grantRelayer(address relayer, uint16 lane) external override locked onlyAdmin {
        if (relayer == address(0)) revert ZeroAddress();
        if (_isAttester(relayer)) revert RelayerIsAttester(relayer);
        address holder = relayerOf[lane];
        if (holder != address(0) && holder != relayer) revert LaneTaken(lane, holder);
        Relayer storage entry = _relayers[relayer];
        if (entry.known && entry.lane != lane) revert RelayerHasLane(relayer, entry.lane);
        relayerOf[lane] = relayer;
        entry.lane = lane;
        entry.known = true;
        entry.granted = true;
        emit RelayerGranted(relayer, lane);
    }

    /// @inheritdoc IAcurastSettlement
    function revokeRelayer(address relayer) external override locked onlyAdmin {
        Relayer storage entry = _relayers[relayer];
        if (!entry.granted) revert NotRelayer(relayer);
        entry.granted = false;
        emit RelayerRevoked(relayer, entry.lane);
    }

    /// @inheritdoc IAcurastSettlement
    function pause() external override locked onlyAdmin {
        _pause();
    }

    /// @inheritdoc IAcurastSettlement
    function unpause() external override locked onlyAdmin {
        _unpause();
    }

    /// @inheritdoc IAcurastSettlement
    function withdraw(uint256 amount) external override locked {
        Relayer storage entry = _relayers[msg.sender];
        uint256 credit = entry.credit;
        if (amount == 0) revert NothingToPay();
        if (amount > credit) revert CreditTooSmall(credit, amount);
        entry.credit = uint128(credit - amount);
        emit Withdrawn(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    /// @inheritdoc IAcurastSettlement
    function creditOf(address relayer) external view override returns (uint256) {
        return _relayers[relayer].credit;
    }

    /// @inheritdoc IAcurastSettlement
    function laneOf(address relayer) external view override returns (uint16 lane, bool granted) {
        Relayer storage entry = _relayers[relayer];
        return (entry.lane, entry.granted);
    }

    /// @dev Whether a key may sign roots; such a key can't become a relayer.
    function _isAttester(address key) internal view virtual returns (bool);

    function _lock() internal {
        if (_locked) revert Locked();
        _locked = true;
    }

    function _unlock() internal {
        _locked = false;
    }

    /// @dev The caller's lane; reverts when the caller isn't a granted relayer.
    function _requireRelayer() internal view returns (uint16) {
        Relayer storage entry = _relayers[msg.sender];
        if (!entry.granted) revert NotRelayer(msg.sender);
        return entry.lane;
    }

    /// @dev Metered entry points charge the intrinsic gas of a transaction once, by its calldata. That holds only when
    /// this call *is* the transaction: the sender signed it (origin) and has no code of its own (EIP-7702) that could
    /// have called us several times, or with other calldata.
    function _requirePlainAccount() internal view {
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert NotPlainAccount(msg.sender);
    }

    /// @dev Adds to a relayer's credit what was taken from accounts.
    function _credit(address relayer, uint256 amount) internal {
        Relayer storage entry = _relayers[relayer];
        uint256 credit = uint256(entry.credit) + amount;
        if (credit > type(uint128).max) revert AmountTooLarge(credit);
        entry.credit = uint128(credit);
    }

    /// @dev Pays out. The lock is held, and none of the receiver's answer is copied.
    function _pay(address to, uint256 amount) internal {
        bool paid;
        assembly ("memory-safe") {
            paid := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!paid) revert PaymentRefused(to, amount);
    }
}
