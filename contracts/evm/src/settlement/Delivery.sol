// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Escrow} from "./Escrow.sol";
import {IAcurastSettlement} from "../IAcurastSettlement.sol";
import {Roots} from "./Roots.sol";
import {GasMeter} from "../libraries/GasMeter.sol";
import {Hashes} from "../libraries/Hashes.sol";
import {TargetCall} from "../libraries/TargetCall.sol";

/// @title Delivery of outputs, and what accounts pay for it
/// @notice A batch is planned (every check, every mark), then the worst case is taken from the accounts, then targets
/// are called, then the measured charge is settled and the rest given back. Invariants: an execution settles once,
/// whichever roots carry it; what a target does can't change what another item gets or pays; charges never exceed
/// what the transaction costs.
/// @dev What the relayer alone can get wrong (proof, signature, root, lane, gas) reverts and names the item. What can
/// change between its simulation and the block (settled, expired, revoked, balance, price, closing) skips the item.
abstract contract Delivery is Escrow, Roots {
    /// @dev Reasons of `Skipped`.
    uint8 private constant SKIP_SETTLED = 0;
    uint8 private constant SKIP_PAST = 1;
    uint8 private constant SKIP_REVOKED = 2;
    uint8 private constant SKIP_ESCROW_TOO_SMALL = 3;
    uint8 private constant SKIP_CAPS = 4;
    uint8 private constant SKIP_REFUNDABLE = 5;

    /// @dev Gas of fulfillBatch that its meter doesn't see: dispatch before the first look, and what follows the last,
    /// a constant and a part per account. Measured, and rounded down; test/charge.test.mjs fails when they drift.
    uint256 private constant FULFILL_GAS_UNSEEN = 4_300;
    uint256 private constant FULFILL_GAS_UNSEEN_PER_ACCOUNT = 3_700;

    /// @dev One account within a batch. `gas` and `tokens` are those of its delivered items only.
    struct Payer {
        bytes32 escrowId;
        uint256 available;
        uint256 price;
        uint256 maxCharge;
        uint256 items;
        uint256 gas;
        uint256 tokens;
        uint256 shares;
    }

    /// @dev A batch on its way. `payerOf[i]` is the place of item i's account plus one, zero when skipped; `charged` of
    /// the `payerCount` accounts have an item that wasn't.
    struct Batch {
        uint16 lane;
        uint256 delivered;
        uint256 payerCount;
        uint256 charged;
        uint256 gasOfItems;
        uint256 tokensOfItems;
        uint256 headerTokens;
        uint256[] payerOf;
        bytes32[] payloadHashes;
        Payer[] payers;
    }

    mapping(uint256 word => uint256) private _settled;
    /// @dev The payload hash of a failed execution: nothing else may be delivered in its place.
    mapping(uint64 bit => bytes32 payloadHash) private _failed;

    /// @inheritdoc IAcurastSettlement
    function fulfillBatch(Item[] calldata items) external override {
        uint256 gasAtStart = gasleft();
        _lock();
        _requireNotPaused();
        _requirePlainAccount();
        if (items.length == 0) revert EmptyBatch();
        Batch memory batch;
        batch.lane = _requireRelayer();
        batch.payerOf = new uint256[](items.length);
        batch.payloadHashes = new bytes32[](items.length);
        batch.payers = new Payer[](items.length);

        _plan(items, batch);
        _hold(batch);
        _deliver(items, batch);
        _charge(batch, gasAtStart);
        _unlock();
    }

    /// @inheritdoc IAcurastSettlement
    function chargeRoot(uint64 batch, Assignment calldata assignment, bytes32[] calldata proof)
        external
        override
        locked
        whenNotPaused
    {
        if (uint16(batch >> 48) != _requireRelayer()) revert WrongLane(0, batch);
        RingSlot storage slot = _proven(0, batch, assignment, proof);
        uint64 lastBit = _lastBit(0, assignment);
        bytes32 escrowId = assignment.escrowId;
        if (isSettled(lastBit)) revert RootShareAlreadyPaid(assignment.assignmentId);
        if (isRevoked[escrowId][assignment.assignmentId]) revert RevokedAssignment(assignment.assignmentId);
        Account storage entry = _accounts[escrowId];
        if (entry.opener == address(0)) revert UnknownEscrow(escrowId);
        if (block.timestamp >= entry.refundableAt) revert EscrowRefundable(escrowId, entry.refundableAt);

        _mark(lastBit);
        uint256 share = _takeShare(slot, entry.caps);
        if (entry.balance < share) revert EscrowTooSmall(escrowId, entry.balance, share);
        entry.balance -= uint128(share);
        _credit(msg.sender, share);
        emit RootShareCharged(assignment.assignmentId, escrowId, share);
        emit Charged(escrowId, 0, 0, share);
    }

    /// @inheritdoc IAcurastSettlement
    /// @dev The payload was verified when it failed, and its hash was kept, so that no signature is needed here.
    function redeliver(Item calldata item) external override locked whenNotPaused {
        Assignment calldata assignment = item.assignment;
        _proven(0, item.batch, assignment, item.proof);
        uint64 bit = _bitOf(0, item);
        bytes32 payloadHash = keccak256(item.payload);
        if (_failed[bit] == bytes32(0) || _failed[bit] != payloadHash) revert NotRedeliverable(bit);
        if (block.timestamp * 1000 > assignment.notAfter) revert PastNotAfter(assignment.notAfter);
        if (isRevoked[assignment.escrowId][assignment.assignmentId]) {
            revert RevokedAssignment(assignment.assignmentId);
        }
        delete _failed[bit];
        address target = _accounts[assignment.escrowId].target;
        if (!TargetCall.fulfillWithAll(target, assignment.jobId, item.payload)) revert RedeliveryFailed(target);
        emit Redelivered(assignment.assignmentId, assignment.escrowId, item.execution, payloadHash, msg.sender);
    }

    /// @inheritdoc IAcurastSettlement
    function isSettled(uint64 bit) public view override returns (bool) {
        return _settled[bit >> 8] & (1 << (bit & 0xff)) != 0;
    }

    /// @inheritdoc IAcurastSettlement
    function isFailed(uint64 bit) external view override returns (bool) {
        return _failed[bit] != bytes32(0);
    }

    // ------------------------------------------------------------------------------------------ 1. planning

    /// @dev Checks and marks every item. An item's gas, calldata included, is measured to its own account.
    function _plan(Item[] calldata items, Batch memory batch) private {
        Item calldata first = items[0];
        uint256 firstStart;
        assembly ("memory-safe") {
            firstStart := first
        }
        batch.headerTokens = GasMeter.tokens(0, firstStart);
        uint256 mark = gasleft();
        for (uint256 i = 0; i < items.length; ++i) {
            uint256 tokens = _tokensOf(items, i);
            uint256 place = _planItem(items[i], i, batch);
            batch.payerOf[i] = place;
            batch.tokensOfItems += tokens;
            uint256 used = mark + GasMeter.TOKEN * tokens;
            mark = gasleft();
            used -= mark;
            batch.gasOfItems += used;
            if (place != 0) {
                Payer memory payer = batch.payers[place - 1];
                payer.gas += used;
                payer.tokens += tokens;
            }
        }
    }

    /// @dev Plans one item: proof → not settled → signature → moment → account → caps → balance.
    /// @return place of its account plus one; zero when skipped
    function _planItem(Item calldata item, uint256 index, Batch memory batch) private returns (uint256 place) {
        Assignment calldata assignment = item.assignment;
        if (uint16(item.batch >> 48) != batch.lane) revert WrongLane(index, item.batch);
        RingSlot storage slot = _proven(index, item.batch, assignment, item.proof);
        uint64 bit = _bitOf(index, item);
        if (isSettled(bit)) return _skip(item, SKIP_SETTLED);
        batch.payloadHashes[index] = _verified(index, item);
        if (block.timestamp * 1000 > assignment.notAfter) return _skip(item, SKIP_PAST);
        bytes32 escrowId = assignment.escrowId;
        if (isRevoked[escrowId][assignment.assignmentId]) return _skip(item, SKIP_REVOKED);

        Account storage entry = _accounts[escrowId];
        uint256 refundableAt = entry.refundableAt;
        // Not opened, or its opening was in a block that is no more.
        if (refundableAt == 0) return _skip(item, SKIP_ESCROW_TOO_SMALL);
        if (block.timestamp >= refundableAt) return _skip(item, SKIP_REFUNDABLE);
        Caps storage caps = entry.caps;
        if (block.basefee > caps.maxFeePerGas || item.payload.length > caps.maxPayload || caps.modes & MODE_CALL == 0) {
            return _skip(item, SKIP_CAPS);
        }

        place = _payerPlace(escrowId, batch);
        Payer memory payer = batch.payers[place - 1];
        uint64 lastBit = assignment.bit + assignment.executions;
        bool unpaid = !isSettled(lastBit);
        uint256 share = unpaid ? _nextShare(slot, caps) : 0;
        uint256 worst = payer.maxCharge + share;
        if (payer.available < worst) return _skip(item, SKIP_ESCROW_TOO_SMALL);
        payer.available -= worst;
        if (payer.items == 0) batch.charged += 1;
        payer.items += 1;
        batch.delivered += 1;
        _mark(bit);
        if (unpaid) {
            _mark(lastBit);
            _takeShare(slot, caps);
            payer.shares += share;
            emit RootShareCharged(assignment.assignmentId, escrowId, share);
        }
    }

    function _skip(Item calldata item, uint8 reason) private returns (uint256) {
        emit Skipped(item.assignment.assignmentId, item.execution, reason);
        return 0;
    }

    /// @dev Finds an account among the batch's, or adds it. Items of one account usually stand together.
    function _payerPlace(bytes32 escrowId, Batch memory batch) private view returns (uint256 place) {
        uint256 count = batch.payerCount;
        for (place = count; place != 0; --place) {
            if (batch.payers[place - 1].escrowId == escrowId) return place;
        }
        place = count + 1;
        batch.payerCount = place;
        Account storage entry = _accounts[escrowId];
        Payer memory payer = batch.payers[count];
        payer.escrowId = escrowId;
        payer.available = entry.balance;
        payer.price = _price(entry.caps, tx.gasprice, block.basefee);
        payer.maxCharge = entry.caps.maxCharge;
    }

    /// @dev Calldata tokens of an item's own stretch, [its start, the next one's start). Starts have to ascend, and an
    /// item's parts to lie inside its stretch: so each byte counts once, and on the account that it is for.
    function _tokensOf(Item[] calldata items, uint256 index) private pure returns (uint256) {
        Item calldata item = items[index];
        bytes32[] calldata proof = item.proof;
        bytes calldata payload = item.payload;
        bytes calldata signature = item.signature;
        uint256 start;
        uint256 end = msg.data.length;
        bool scattered;
        if (index + 1 < items.length) {
            Item calldata next = items[index + 1];
            assembly ("memory-safe") {
                end := next
            }
        }
        assembly ("memory-safe") {
            start := item
            scattered := or(lt(end, start), lt(start, add(items.offset, shl(5, items.length))))
            scattered := or(scattered, or(lt(proof.offset, start), gt(add(proof.offset, shl(5, proof.length)), end)))
            scattered := or(scattered, or(lt(payload.offset, start), gt(add(payload.offset, payload.length), end)))
            scattered := or(
                scattered,
                or(lt(signature.offset, start), gt(add(signature.offset, signature.length), end))
            )
        }
        if (scattered) revert ScatteredCalldata(index);
        return GasMeter.tokens(start, end);
    }

    /// @dev The bit that records a leaf's root share; the leaf has to own executions and to fit into the bitmap.
    function _lastBit(uint256 index, Assignment calldata assignment) private pure returns (uint64) {
        uint256 lastBit = uint256(assignment.bit) + assignment.executions;
        if (assignment.executions == 0 || lastBit > type(uint64).max) {
            revert ExecutionOutOfRange(index, assignment.firstExecution);
        }
        return uint64(lastBit);
    }

    /// @dev The bit that an item's execution settles.
    function _bitOf(uint256 index, Item calldata item) private pure returns (uint64) {
        Assignment calldata assignment = item.assignment;
        _lastBit(index, assignment);
        uint64 execution = item.execution;
        uint64 first = assignment.firstExecution;
        if (execution < first || execution - first >= assignment.executions) {
            revert ExecutionOutOfRange(index, execution);
        }
        return assignment.bit + (execution - first);
    }

    /// @dev Checks the processor's signature.
    /// @return payloadHash keccak of the payload
    function _verified(uint256 index, Item calldata item) private view returns (bytes32 payloadHash) {
        Assignment calldata assignment = item.assignment;
        if (assignment.keyType != 0) revert UnsupportedKeyType(index, assignment.keyType);
        payloadHash = keccak256(item.payload);
        bytes32 digest = _hashTypedDataV4(Hashes.output(assignment.assignmentId, item.execution, payloadHash));
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, item.signature);
        // All 32 bytes of the key are compared. No signature recovers to the zero address that a failure leaves.
        if (signer == address(0) || bytes32(uint256(uint160(signer))) != assignment.signerKey) {
            revert InvalidSignature(index);
        }
    }

    function _mark(uint64 bit) private {
        _settled[bit >> 8] |= 1 << (bit & 0xff);
    }

    // --------------------------------------------------------------------------------- 2. holding, delivering

    /// @dev Takes the worst case from each account before anything foreign runs.
    function _hold(Batch memory batch) private {
        for (uint256 i = 0; i < batch.payerCount; ++i) {
            Payer memory payer = batch.payers[i];
            // `available` is the balance less the worst case of every planned item.
            if (payer.items != 0) _accounts[payer.escrowId].balance = uint128(payer.available);
        }
    }

    function _deliver(Item[] calldata items, Batch memory batch) private {
        uint256 mark = gasleft();
        for (uint256 i = 0; i < items.length; ++i) {
            uint256 place = batch.payerOf[i];
            if (place == 0) continue;
            _deliverItem(items[i], i, batch.payloadHashes[i]);
            uint256 used = mark;
            mark = gasleft();
            used -= mark;
            batch.gasOfItems += used;
            batch.payers[place - 1].gas += used;
        }
    }

    function _deliverItem(Item calldata item, uint256 index, bytes32 payloadHash) private {
        Assignment calldata assignment = item.assignment;
        Account storage entry = _accounts[assignment.escrowId];
        uint256 gasLimit = entry.caps.callGasLimit;
        TargetCall.Outcome outcome = TargetCall.fulfill(entry.target, gasLimit, assignment.jobId, item.payload);
        // The relayer brought too little gas. A target must not fail for that.
        if (outcome == TargetCall.Outcome.Starved) revert NotEnoughGas(index, TargetCall.needed(gasLimit));
        bool success = outcome == TargetCall.Outcome.Succeeded;
        if (!success) _failed[assignment.bit + (item.execution - assignment.firstExecution)] = payloadHash;
        emit Settled(assignment.assignmentId, assignment.escrowId, item.execution, success, payloadHash);
    }

    // ------------------------------------------------------------------------------------------- 3. charging

    /// @dev Charges each account for its items' own gas and an even part of what no item caused, at its own price.
    /// Every division rounds down, so the sum of all charges never exceeds the cost.
    function _charge(Batch memory batch, uint256 gasAtStart) private {
        if (batch.delivered == 0) return;
        uint256 headerTokens = batch.headerTokens;
        uint256 tokens = batch.tokensOfItems + headerTokens;
        uint256 unseen = GasMeter.TX_BASE + GasMeter.TOKEN * tokens + FULFILL_GAS_UNSEEN
            + FULFILL_GAS_UNSEEN_PER_ACCOUNT * batch.charged;
        uint256 used = unseen + gasAtStart - gasleft();
        uint256 floor = GasMeter.floorGas(tokens);
        uint256 cost = used;
        // Below the floor no refund shows.
        if (used > floor) {
            GasMeter.saturateRefunds(used);
            cost = GasMeter.afterRefunds(unseen + gasAtStart - gasleft());
        }
        uint256 surplus = floor > cost ? floor - cost : 0;
        uint256 shared = used - batch.gasOfItems;

        uint256 credit = 0;
        for (uint256 i = 0; i < batch.payerCount; ++i) {
            Payer memory payer = batch.payers[i];
            uint256 count = payer.items;
            if (count == 0) continue;
            uint256 gas = (payer.gas + shared * count / batch.delivered) * cost / used;
            // What the calldata floor adds falls on those whose calldata it is.
            gas += surplus * (payer.tokens + headerTokens * count / batch.delivered) / tokens;
            uint256 amount = gas * payer.price;
            uint256 held = payer.maxCharge * count;
            if (amount > held) amount = held;
            _accounts[payer.escrowId].balance = uint128(payer.available + held - amount);
            emit Charged(payer.escrowId, count, amount, payer.shares);
            credit += amount + payer.shares;
        }
        _credit(msg.sender, credit);
    }
}
