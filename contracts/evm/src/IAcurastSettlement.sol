// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a consumer contract implements to receive outputs
/// @notice The interface that existing Acurast consumer contracts have.
interface IFulfillable {
    /// @notice Delivers one output.
    /// @param jobId the job's number, unique within the owner that the target is bound to
    /// @param payload the processor's output, byte for byte
    function fulfill(uint128 jobId, bytes calldata payload) external;
}

/// @title The settlement contract of the Acurast relayer on an EVM chain, mode `call`
/// @notice Escrow accounts pay relayers for carrying the signed outputs of processors to consumer contracts. Which
/// processor key serves which job is proven by Merkle roots that k of n attesters signed.
/// @dev Times named in milliseconds (`lockedUntil`, `notAfter`) are those of the leaf; `expiry`, `refundableAt` and
/// `closeDelay` are seconds, as block timestamps are. Amounts are wei.
interface IAcurastSettlement {
    // ------------------------------------------------------------------------------------------------- data

    /// @notice What an escrow account lets a relayer do; fixed when the account is opened.
    /// @param maxFeePerGas highest price of a unit of gas, wei; nothing is delivered while the base fee is above it
    /// @param maxPriorityFee highest tip over the base fee, wei per gas
    /// @param callGasLimit gas that each call of the target gets, 1 to MAX_CALL_GAS_LIMIT
    /// @param maxPayload longest payload, bytes
    /// @param maxCharge highest charge per execution, root share not counted, wei
    /// @param modes bit 0: mode `call`; the other bits are for modes that this version does not have
    struct Caps {
        uint128 maxFeePerGas;
        uint128 maxPriorityFee;
        uint64 callGasLimit;
        uint32 maxPayload;
        uint128 maxCharge;
        uint32 modes;
    }

    /// @notice A root of leaves, as its attesters sign it.
    /// @param root Merkle root, sorted pairs, double-hashed leaves
    /// @param batch lane number (16 bits) followed by the lane's counter (48 bits)
    /// @param leaves number of leaves of all kinds
    /// @param lockedUntil largest notAfter in the tree, ms since the Unix epoch; the ring slot is kept until then
    /// @param sourceBlock finalized block of the source chain that the leaves were derived at
    /// @param sourceBlockHash its hash
    struct Root {
        bytes32 root;
        uint64 batch;
        uint32 leaves;
        uint64 lockedUntil;
        uint64 sourceBlock;
        bytes32 sourceBlockHash;
    }

    /// @notice An assignment leaf without its `kind`, which the contract adds.
    /// @param assignmentId id of (job, processor, destination)
    /// @param escrowId the account that pays; a leaf's account never changes
    /// @param jobId number of the job
    /// @param keyType 0 secp256k1; 1 P-256 is refused by this version
    /// @param signerKey for key type 0 the processor's address, left-padded
    /// @param firstExecution first execution that the leaf covers
    /// @param executions number of executions that it covers
    /// @param notAfter last moment of delivery, ms since the Unix epoch
    /// @param bit first of the leaf's bits [bit, bit + executions]; the last records that the root share was paid
    struct Assignment {
        bytes32 assignmentId;
        bytes32 escrowId;
        uint128 jobId;
        uint8 keyType;
        bytes32 signerKey;
        uint64 firstExecution;
        uint64 executions;
        uint64 notAfter;
        uint64 bit;
    }

    /// @notice One output to deliver.
    /// @param batch the root that proves the assignment
    /// @param assignment the leaf
    /// @param proof siblings from the leaf to the root
    /// @param execution which execution the output is of
    /// @param payload the output
    /// @param signature r, s, v of the processor over `Output(bytes32 assignmentId,uint64 execution,bytes32 payloadHash)`
    struct Item {
        uint64 batch;
        Assignment assignment;
        bytes32[] proof;
        uint64 execution;
        bytes payload;
        bytes signature;
    }

    // ----------------------------------------------------------------------------------------------- events

    /// @notice Jobs of `ownerKey`, and of nobody else, may reach `target` from now on.
    event TargetBound(address indexed target, bytes32 indexed ownerKey);
    /// @notice An account was opened with `amount` wei.
    event EscrowOpened(
        bytes32 indexed escrowId,
        bytes32 indexed ownerKey,
        address indexed target,
        address opener,
        Caps caps,
        uint64 expiry,
        bytes32 salt,
        uint256 amount
    );
    /// @notice `amount` wei were added to an account.
    event EscrowToppedUp(bytes32 indexed escrowId, bytes32 indexed ownerKey, uint256 amount);
    /// @notice The opener asked for the rest, which is his from `refundableAt` (seconds) on.
    event EscrowCloseRequested(bytes32 indexed escrowId, bytes32 indexed ownerKey, uint64 refundableAt);
    /// @notice The rest of an account went to its opener.
    event EscrowRefunded(bytes32 indexed escrowId, bytes32 indexed ownerKey, address to, uint256 amount);
    /// @notice A root that k attesters signed is usable from now on.
    event RootPosted(
        uint64 indexed batch,
        bytes32 root,
        uint32 leaves,
        uint64 lockedUntil,
        uint64 sourceBlock,
        bytes32 sourceBlockHash
    );
    /// @notice An execution is settled, for good; `success` says whether the target took the payload.
    event Settled(
        bytes32 indexed assignmentId, bytes32 indexed escrowId, uint64 execution, bool success, bytes32 payloadHash
    );
    /// @notice An item was left out and costs its account nothing.
    /// @param reason 0 settled before, 1 past notAfter, 2 assignment revoked, 3 escrow not open or too small, 4 caps
    /// (price, payload, mode), 5 account refundable
    event Skipped(bytes32 indexed assignmentId, uint64 execution, uint8 reason);
    /// @notice The share of a leaf in the posting of its root was charged.
    event RootShareCharged(bytes32 indexed assignmentId, bytes32 indexed escrowId, uint256 amount);
    /// @notice What a transaction took from an account: once per account and transaction.
    /// @param items number of executions among which `itemsAmount` is split evenly
    /// @param itemsAmount the charge less root shares, wei
    /// @param rootShares sum of the root shares, wei
    event Charged(bytes32 indexed escrowId, uint256 items, uint256 itemsAmount, uint256 rootShares);
    /// @notice An execution that had failed was delivered, at the caller's cost.
    event Redelivered(
        bytes32 indexed assignmentId, bytes32 indexed escrowId, uint64 execution, bytes32 payloadHash, address by
    );
    /// @notice `relayer` may post roots and deliver in `lane`.
    event RelayerGranted(address indexed relayer, uint16 lane);
    /// @notice `relayer` may do so no more; its credit stays its own.
    event RelayerRevoked(address indexed relayer, uint16 lane);
    /// @notice The opener stopped an assignment: no more calls and charges.
    event AssignmentRevoked(bytes32 indexed escrowId, bytes32 indexed assignmentId);
    /// @notice k attesters stopped a root: no more calls and charges by it.
    event RootRevoked(uint64 indexed batch);
    /// @notice A relayer took `amount` wei of its credit.
    event Withdrawn(address indexed relayer, uint256 amount);
    /// @notice The admin named a successor, who has yet to accept.
    event AdminTransferStarted(address indexed admin, address indexed pendingAdmin);
    /// @notice The successor accepted.
    event AdminTransferred(address indexed previousAdmin, address indexed admin);

    // ----------------------------------------------------------------------------------------------- errors

    /// @notice Only the admin may do this.
    error NotAdmin(address sender);
    /// @notice Only the named successor may accept.
    error NotPendingAdmin(address sender);
    /// @notice Only a granted relayer may do this.
    error NotRelayer(address sender);
    /// @notice A metered entry point takes calls from plain accounts only: what their transaction costs is measurable.
    error NotPlainAccount(address sender);
    /// @notice Only the account's opener may do this.
    error NotOpener(address sender);
    /// @notice Only the target or its `owner()` may bind it.
    error NotTargetOwner(address sender);
    /// @notice A state-changing entry point was called while a batch is being delivered.
    error Locked();
    /// @notice A zero address was given.
    error ZeroAddress();
    /// @notice A constructor argument is out of its range.
    error InvalidDeployment();
    /// @notice A lane number belongs to one key for ever, and a key to one lane.
    error LaneTaken(uint16 lane, address holder);
    /// @notice The key has another lane already.
    error RelayerHasLane(address relayer, uint16 lane);
    /// @notice No relayer key is an attester.
    error RelayerIsAttester(address relayer);
    /// @notice A target has exactly one owner key, for ever.
    error TargetAlreadyBound(address target, bytes32 ownerKey);
    /// @notice The target is bound to another owner key, or to none (zero).
    error TargetNotBound(address target, bytes32 ownerKey);
    /// @notice An owner key can't be zero.
    error ZeroOwnerKey();
    /// @notice An account with this id exists or existed.
    error EscrowExists(bytes32 escrowId);
    /// @notice No account has this id.
    error UnknownEscrow(bytes32 escrowId);
    /// @notice Caps out of range: callGasLimit is 1 to MAX_CALL_GAS_LIMIT.
    error InvalidCaps();
    /// @notice The expiry has to lie in the future and before MAX_EXPIRY.
    error InvalidExpiry(uint64 expiry);
    /// @notice The account is refundable (since `refundableAt`, seconds), and takes neither money nor charges.
    error EscrowRefundable(bytes32 escrowId, uint64 refundableAt);
    /// @notice The rest is not refundable before `refundableAt` (seconds).
    error NotRefundable(bytes32 escrowId, uint64 refundableAt);
    /// @notice A close was requested before.
    error CloseAlreadyRequested(bytes32 escrowId);
    /// @notice There is nothing to pay out.
    error NothingToPay();
    /// @notice A balance would exceed 128 bits.
    error AmountTooLarge(uint256 amount);
    /// @notice The account holds less than is to be charged.
    error EscrowTooSmall(bytes32 escrowId, uint256 balance, uint256 needed);
    /// @notice The credit is smaller than `amount`.
    error CreditTooSmall(uint256 credit, uint256 amount);
    /// @notice The receiver refused the money.
    error PaymentRefused(address to, uint256 amount);
    /// @notice Fewer signatures than the threshold, or more than there are attesters.
    error QuorumNotMet(uint256 given, uint256 threshold);
    /// @notice A signature isn't one of an attester, not in canonical form, or an attester's second one.
    error InvalidAttestation(uint256 index);
    /// @notice A root without leaves.
    error EmptyRoot();
    /// @notice The ring slot holds `held`, which is locked until `lockedUntil` (ms), or isn't older than the new one.
    error RingSlotLocked(uint64 batch, uint64 held, uint64 lockedUntil);
    /// @notice A batch of no items.
    error EmptyBatch();
    /// @notice Item `index`: the lane of the batch isn't the caller's.
    error WrongLane(uint256 index, uint64 batch);
    /// @notice Item `index`: no ring slot holds the root, or a later one has taken its place.
    error UnknownRoot(uint256 index, uint64 batch);
    /// @notice Item `index`: attesters revoked the root.
    error RevokedRoot(uint256 index, uint64 batch);
    /// @notice Item `index`: the proof doesn't lead from the leaf to the root.
    error InvalidProof(uint256 index);
    /// @notice Item `index`: the leaf doesn't cover the execution, or its bits exceed the bitmap.
    error ExecutionOutOfRange(uint256 index, uint64 execution);
    /// @notice Item `index`: this version verifies key type 0 (secp256k1) only.
    error UnsupportedKeyType(uint256 index, uint8 keyType);
    /// @notice Item `index`: the signature isn't the processor's, or not canonical (65 bytes, low s, v 27 or 28).
    error InvalidSignature(uint256 index);
    /// @notice Item `index`: its parts aren't all inside its own stretch of the calldata.
    error ScatteredCalldata(uint256 index);
    /// @notice Item `index`: less gas is left than the target has to get; nothing of the transaction stands.
    error NotEnoughGas(uint256 index, uint256 needed);
    /// @notice The assignment was revoked by the opener.
    error RevokedAssignment(bytes32 assignmentId);
    /// @notice The leaf's root share was paid before.
    error RootShareAlreadyPaid(bytes32 assignmentId);
    /// @notice Only an execution that is settled and failed, with the same payload, can be redelivered.
    error NotRedeliverable(uint64 bit);
    /// @notice Nothing is delivered after notAfter (ms).
    error PastNotAfter(uint64 notAfter);
    /// @notice The target refused a redelivery; nothing changed.
    error RedeliveryFailed(address target);

    // ------------------------------------------------------------------------------------------------ roles

    /// @notice Names a successor of the admin. Admin only.
    function transferAdmin(address pendingAdmin) external;
    /// @notice Takes the admin role. The named successor only.
    function acceptAdmin() external;
    /// @notice Lets `relayer` work in `lane`. Admin only; a lane number is never given to another key.
    function grantRelayer(address relayer, uint16 lane) external;
    /// @notice Takes the role back; lane and credit stay with the key. Admin only.
    function revokeRelayer(address relayer) external;
    /// @notice Stops openings, top-ups, roots, deliveries and charges; never refunds and withdrawals. Admin only.
    function pause() external;
    /// @notice Ends a pause. Admin only.
    function unpause() external;

    // ---------------------------------------------------------------------------------------------- escrow

    /// @notice Binds `target` to `ownerKey`, once and for ever. By the target itself or its `owner()`.
    function bindTarget(address target, bytes32 ownerKey) external;
    /// @notice Opens an account with the value sent.
    /// @param expiry seconds; from then on the account closes as if a close had been requested
    /// @return escrowId keccak(abi.encode(chainid, contract, opener, target, ownerKey, salt))
    function openEscrow(address target, bytes32 ownerKey, Caps calldata caps, uint64 expiry, bytes32 salt)
        external
        payable
        returns (bytes32 escrowId);
    /// @notice Adds the value sent to an account. Anybody.
    function topUp(bytes32 escrowId) external payable;
    /// @notice Starts the close delay. The opener only.
    function requestClose(bytes32 escrowId) external;
    /// @notice Pays the rest to the opener once the close delay is over. Anybody.
    function refund(bytes32 escrowId) external;
    /// @notice Stops calls and charges of one assignment. The opener only.
    function revoke(bytes32 escrowId, bytes32 assignmentId) external;

    // ------------------------------------------------------------------------------------------ settlement

    /// @notice Stores an attested root in the ring. The relayer of its lane only.
    /// @param signatures at least `threshold` signatures of distinct attesters over
    /// `Root(bytes32 root,uint64 batch,uint32 leaves,uint64 lockedUntil,uint64 sourceBlock,bytes32 sourceBlockHash)`
    function postRoot(Root calldata root, bytes[] calldata signatures) external;
    /// @notice Stops a root. Anybody who brings k attesters' signatures over `RevokeRoot(uint64 batch,bytes32 root)`.
    function revokeRoot(uint64 batch, bytes[] calldata signatures) external;
    /// @notice Delivers outputs and charges their accounts. A relayer, in its own lane, only.
    /// @dev An item's calldata has to be contiguous and in order, as every ABI encoder writes it.
    function fulfillBatch(Item[] calldata items) external;
    /// @notice Charges the root share of a leaf of which nothing was delivered yet. The relayer of its lane only.
    function chargeRoot(uint64 batch, Assignment calldata assignment, bytes32[] calldata proof) external;
    /// @notice Delivers once more what failed, with all the gas that the caller brings and at his cost. Anybody.
    function redeliver(Item calldata item) external;
    /// @notice Pays `amount` of the caller's credit to the caller.
    function withdraw(uint256 amount) external;

    // ----------------------------------------------------------------------------------------------- views

    /// @notice An account; all zero when never opened.
    /// @return opener who opened it and gets the rest
    /// @return target which contract its jobs reach
    /// @return ownerKey whose jobs it pays for
    /// @return caps what a relayer may do
    /// @return expiry seconds
    /// @return closeRequestedAt seconds, 0 when never
    /// @return refundableAt seconds: closeDelay after the earlier of close request and expiry
    /// @return balance wei; during a delivery less the worst case of the running batch
    function account(bytes32 escrowId)
        external
        view
        returns (
            address opener,
            address target,
            bytes32 ownerKey,
            Caps memory caps,
            uint64 expiry,
            uint64 closeRequestedAt,
            uint64 refundableAt,
            uint256 balance
        );
    /// @notice The root that the ring holds for `batch`; all zero when it holds none or a later one.
    /// @return root Merkle root
    /// @return leaves number of leaves
    /// @return lockedUntil ms since the Unix epoch
    /// @return gas what the posting used
    /// @return price what it paid per gas, wei
    /// @return baseFee base fee of its block, wei per gas
    /// @return paidShares how many leaves have paid their share
    /// @return revoked whether attesters revoked it
    function rootOf(uint64 batch)
        external
        view
        returns (
            bytes32 root,
            uint32 leaves,
            uint64 lockedUntil,
            uint64 gas,
            uint128 price,
            uint128 baseFee,
            uint32 paidShares,
            bool revoked
        );
    /// @notice Whether the bit is set in the settled bitmap (an execution, or a leaf's paid root share).
    function isSettled(uint64 bit) external view returns (bool);
    /// @notice Whether the execution was settled as failed and not redelivered since.
    function isFailed(uint64 bit) external view returns (bool);
    /// @notice Whether the opener revoked the assignment.
    function isRevoked(bytes32 escrowId, bytes32 assignmentId) external view returns (bool);
    /// @notice Credit of a relayer, wei.
    function creditOf(address relayer) external view returns (uint256);
    /// @notice Lane of a key, and whether it is granted now.
    /// @return lane means nothing when the key never had the role
    /// @return granted whether it may post and deliver
    function laneOf(address relayer) external view returns (uint16 lane, bool granted);
    /// @notice The key that a lane number belongs to, zero when to none.
    function relayerOf(uint16 lane) external view returns (address);
    /// @notice The owner key of a target, zero when not bound.
    function ownerKeyOf(address target) external view returns (bytes32);
    /// @notice The attesters, in the order given at deployment.
    function attesters() external view returns (address[] memory);
    /// @notice k: how many attesters have to sign.
    function threshold() external view returns (uint8);
    /// @notice Ring slots per lane.
    function ringSize() external view returns (uint32);
    /// @notice Seconds between close request or expiry and refund.
    function closeDelay() external view returns (uint64);
    /// @notice Who grants, revokes and pauses.
    function admin() external view returns (address);
    /// @notice Named successor of the admin, zero when none.
    function pendingAdmin() external view returns (address);
    /// @notice EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
    /// @notice Version of this contract's behaviour; the EIP-712 domain has its own.
    function VERSION() external view returns (string memory);
    /// @notice Highest `callGasLimit` of an account.
    function MAX_CALL_GAS_LIMIT() external view returns (uint64);
}
