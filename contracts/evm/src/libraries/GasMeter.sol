// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a transaction costs, found out from inside it
/// @notice A contract sees the gas of its own execution, but neither the intrinsic gas of the transaction, nor the
/// calldata floor (EIP-7623), nor the refund counter (EIP-3529). This library has the rules for the first two and
/// makes the third irrelevant.
/// @dev Valid where Prague's rules hold. A chain with a lower calldata price would make it overstate the cost.
library GasMeter {
    /// @notice Gas of any transaction.
    uint256 internal constant TX_BASE = 21_000;
    /// @notice Gas per calldata token while execution dominates (EIP-7623: zero byte 1 token, other byte 4).
    uint256 internal constant TOKEN = 4;
    /// @notice Gas per calldata token of the floor (EIP-7623).
    uint256 internal constant FLOOR_TOKEN = 10;

    /// @notice What saturating once puts on the refund counter: 0 → 1 → 0 in one transaction.
    uint256 private constant SATURATOR_REFUND = 19_900;
    /// @notice Upper bound of what saturating once costs: a cold 0 → 1, a warm 1 → 0, the loop.
    uint256 private constant SATURATOR_COST = 22_300;
    /// @notice The part of the gas used that refunds can't exceed is 1 / REFUND_QUOTIENT.
    uint256 private constant REFUND_QUOTIENT = 5;
    /// @notice Gas by which the estimate of the whole transaction may be too low.
    uint256 private constant SATURATION_SLACK = 3_000;
    /// @notice First of the storage slots that saturating writes; they are zero before and after.
    uint256 private constant SATURATOR_SLOT = uint256(keccak256("acurast.settlement.saturator")) & ~uint256(0xffff);

    /// @notice Calldata tokens in `[start, end)`: bytes + 3 · non-zero bytes.
    /// @dev Per word: the top bit of each byte is set iff the byte isn't zero, without carries between bytes; the
    /// multiplication sums the 32 flags into the top byte.
    function tokens(uint256 start, uint256 end) internal pure returns (uint256 count) {
        assembly ("memory-safe") {
            let low := 0x7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f
            let ones := 0x0101010101010101010101010101010101010101010101010101010101010101
            let nonZero := 0
            for { let at := start } lt(at, end) { at := add(at, 32) } {
                let word := calldataload(at)
                let left := sub(end, at)
                if lt(left, 32) {
                    let cut := shl(3, sub(32, left))
                    word := shl(cut, shr(cut, word))
                }
                let flags := and(shr(7, or(add(and(word, low), low), word)), ones)
                nonZero := add(nonZero, shr(248, mul(flags, ones)))
            }
            count := add(sub(end, start), mul(3, nonZero))
        }
    }

    /// @notice The least that a transaction with so many calldata tokens costs.
    function floorGas(uint256 calldataTokens) internal pure returns (uint256) {
        return TX_BASE + FLOOR_TOKEN * calldataTokens;
    }

    /// @notice Fills the refund counter up to its cap, so that what callees put on it changes nothing any more.
    /// @dev A contract can't read the refund counter, and a target that clears its storage would make the transaction
    /// up to a fifth cheaper than what was measured. With the counter at its cap, the cost is exactly four fifths of
    /// the gas used, whatever targets do. The price is about 3 % of gas.
    /// n saturators suffice when n · refund ≥ (used + n · cost) / 5.
    /// @param used estimate of the gas that the transaction uses without saturating
    function saturateRefunds(uint256 used) internal {
        uint256 each = REFUND_QUOTIENT * SATURATOR_REFUND - SATURATOR_COST;
        uint256 count = (used + SATURATION_SLACK + each - 1) / each;
        uint256 slot = SATURATOR_SLOT;
        assembly ("memory-safe") {
            // Two loops: side by side, the compiler would drop the first store as overwritten.
            let end := add(slot, count)
            for { let next := slot } lt(next, end) { next := add(next, 1) } { sstore(next, 1) }
            for { let next := slot } lt(next, end) { next := add(next, 1) } { sstore(next, 0) }
        }
    }

    /// @notice What `used` gas costs with the refund counter at its cap.
    function afterRefunds(uint256 used) internal pure returns (uint256) {
        return used - used / REFUND_QUOTIENT;
    }
}
