// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Access} from "./Access.sol";
import {IAcurastSettlement} from "../IAcurastSettlement.sol";
import {GasMeter} from "../libraries/GasMeter.sol";
import {Hashes} from "../libraries/Hashes.sol";

/// @title Roots that k of n attesters signed
/// @notice Each lane has a ring of slots; batch counter modulo ring size says which. A slot remembers what its posting
/// cost, so that the leaves can pay for it, and is kept until the root's `lockedUntil`.
/// Invariant: over all leaves of a root, the shares at one price sum exactly to gas · price.
abstract contract Roots is Access, EIP712 {
    struct RingSlot {
        bytes32 root;
        uint64 batch;
        uint32 leaves;
        uint32 paidShares;
        uint64 lockedUntil;
        uint56 gas;
        bool revoked;
        uint128 price;
        uint128 baseFee;
    }

    /// @dev Gas of postRoot before it looks at the meter first, and after it looked last. See test/charge.test.mjs.
    uint256 private constant POST_GAS_UNSEEN = 1_450;

    /// @inheritdoc IAcurastSettlement
    uint8 public immutable override threshold;
    /// @inheritdoc IAcurastSettlement
    uint32 public immutable override ringSize;

    address[] private _attesters;
    /// @dev Place in the list plus one; zero for keys that aren't attesters.
    mapping(address key => uint256) private _attesterPlace;
    mapping(uint16 lane => mapping(uint256 index => RingSlot)) private _ring;

    constructor(address[] memory attesters_, uint8 threshold_, uint32 ringSize_) {
        if (threshold_ == 0 || threshold_ > attesters_.length) revert InvalidDeployment();
        if (attesters_.length > type(uint8).max || ringSize_ == 0) revert InvalidDeployment();
        for (uint256 i = 0; i < attesters_.length; ++i) {
            address key = attesters_[i];
            if (key == address(0) || _attesterPlace[key] != 0) revert InvalidDeployment();
            _attesterPlace[key] = i + 1;
        }
        _attesters = attesters_;
        threshold = threshold_;
        ringSize = ringSize_;
    }

    /// @inheritdoc IAcurastSettlement
    function postRoot(Root calldata root, bytes[] calldata signatures) external override {
        uint256 gasAtStart = gasleft();
        _lock();
        _requireNotPaused();
        _requirePlainAccount();
        if (uint16(root.batch >> 48) != _requireRelayer()) revert WrongLane(0, root.batch);
        if (root.root == bytes32(0) || root.leaves == 0) revert EmptyRoot();
        RingSlot storage slot = _slot(root.batch);
        // Newer than what the slot held: a root that had its time can't come back.
        if (slot.leaves != 0 && (root.batch <= slot.batch || block.timestamp * 1000 <= slot.lockedUntil)) {
            revert RingSlotLocked(root.batch, slot.batch, slot.lockedUntil);
        }
        _requireQuorum(Hashes.root(root), signatures);

        slot.root = root.root;
        // A price that doesn't fit into 128 bits can't be paid by any account; cut off, it would only charge less.
        slot.price = uint128(tx.gasprice);
        slot.baseFee = uint128(block.basefee);
        emit RootPosted(root.batch, root.root, root.leaves, root.lockedUntil, root.sourceBlock, root.sourceBlockHash);
        _writeMeta(slot, root, 0);

        uint256 tokens = GasMeter.tokens(0, msg.data.length);
        uint256 floor = GasMeter.floorGas(tokens);
        // Nothing here puts anything on the refund counter: no word is set back to zero.
        uint256 used = GasMeter.TX_BASE + GasMeter.TOKEN * tokens + POST_GAS_UNSEEN + gasAtStart - gasleft();
        // The word is dirty now, so that this second write costs the same whatever the slot held.
        _writeMeta(slot, root, uint56(used > floor ? used : floor));
        _unlock();
    }

    /// @inheritdoc IAcurastSettlement
    function revokeRoot(uint64 batch, bytes[] calldata signatures) external override locked {
        RingSlot storage slot = _slot(batch);
        if (slot.batch != batch || slot.leaves == 0) revert UnknownRoot(0, batch);
        _requireQuorum(Hashes.revokeRoot(batch, slot.root), signatures);
        slot.revoked = true;
        emit RootRevoked(batch);
    }

    /// @inheritdoc IAcurastSettlement
    function rootOf(uint64 batch)
        external
        view
        override
        returns (
            bytes32 root,
            uint32 leaves,
            uint64 lockedUntil,
            uint64 gas,
            uint128 price,
            uint128 baseFee,
            uint32 paidShares,
            bool revoked
        )
    {
        RingSlot storage slot = _slot(batch);
        if (slot.batch != batch) return (0, 0, 0, 0, 0, 0, 0, false);
        return
            (
                slot.root,
                slot.leaves,
                slot.lockedUntil,
                slot.gas,
                slot.price,
                slot.baseFee,
                slot.paidShares,
                slot.revoked
            );
    }

    /// @inheritdoc IAcurastSettlement
    function attesters() external view override returns (address[] memory) {
        return _attesters;
    }

    /// @inheritdoc IAcurastSettlement
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @dev The slot of a root that proves `assignment`; reverts when it is gone, revoked, or proves something else.
    function _proven(uint256 index, uint64 batch, Assignment calldata assignment, bytes32[] calldata proof)
        internal
        view
        returns (RingSlot storage slot)
    {
        slot = _slot(batch);
        if (slot.batch != batch || slot.leaves == 0) revert UnknownRoot(index, batch);
        if (slot.revoked) revert RevokedRoot(index, batch);
        if (!MerkleProof.verifyCalldata(proof, slot.root, Hashes.assignmentLeaf(assignment))) {
            revert InvalidProof(index);
        }
    }

    /// @dev Takes the next share of a root's posting, at the account's price. With T = gas · price and L leaves, the
    /// k-th leaf to pay (k from 0) pays ⌊T(k+1)/L⌋ − ⌊Tk/L⌋: shares differ by one wei at most and sum to T. A leaf has
    /// no place of its own in a tree of sorted pairs, so the order of payment is the rule.
    /// @return share wei
    function _takeShare(RingSlot storage slot, Caps storage caps) internal returns (uint256 share) {
        share = _nextShare(slot, caps);
        uint32 paid = slot.paidShares;
        if (paid < slot.leaves) slot.paidShares = paid + 1;
    }

    /// @dev What `_takeShare` would take.
    function _nextShare(RingSlot storage slot, Caps storage caps) internal view returns (uint256) {
        uint256 paid = slot.paidShares;
        uint256 leaves = slot.leaves;
        // More leaves than the attested count: the whole is paid already.
        if (paid >= leaves) return 0;
        uint256 total = slot.gas * _price(caps, slot.price, slot.baseFee);
        return total * (paid + 1) / leaves - total * paid / leaves;
    }

    /// @dev Price per gas for an account: min(gas price, base fee + maxPriorityFee, maxFeePerGas), wei.
    function _price(Caps storage caps, uint256 gasPrice, uint256 baseFee) internal view returns (uint256 price) {
        price = baseFee + caps.maxPriorityFee;
        if (gasPrice < price) price = gasPrice;
        uint256 highest = caps.maxFeePerGas;
        if (highest < price) price = highest;
    }

    function _isAttester(address key) internal view override returns (bool) {
        return _attesterPlace[key] != 0;
    }

    function _slot(uint64 batch) private view returns (RingSlot storage) {
        return _ring[uint16(batch >> 48)][(batch & type(uint48).max) % ringSize];
    }

    /// @dev Writes the slot's second word in one go.
    function _writeMeta(RingSlot storage slot, Root calldata root, uint56 gas) private {
        slot.batch = root.batch;
        slot.leaves = root.leaves;
        slot.paidShares = 0;
        slot.lockedUntil = root.lockedUntil;
        slot.gas = gas;
        slot.revoked = false;
    }

    /// @dev At least `threshold` valid signatures, each by another attester, none invalid. Low s and v 27 or 28 only.
    function _requireQuorum(bytes32 structHash, bytes[] calldata signatures) private view {
        if (signatures.length < threshold || signatures.length > _attesters.length) {
            revert QuorumNotMet(signatures.length, threshold);
        }
        bytes32 digest = _hashTypedDataV4(structHash);
        uint256 seen = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, signatures[i]);
            uint256 mark = 1 << _attesterPlace[signer];
            if (mark == 1 || seen & mark != 0) revert InvalidAttestation(i);
            seen |= mark;
        }
    }
}
