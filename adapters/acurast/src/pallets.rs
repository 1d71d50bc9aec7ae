//! Which pallets and events are known to be of no consequence to a job, and so only counted.
//!
//! Whatever is on no list is unknown to this version: counted as such, and kept as a fact when the pallet is Acurast's own.

use crate::decode::Verdict;

/// The pallets whose events are the life cycle, with those of their events that change no job, assignment or report.
const LIFE_CYCLE: &[(&str, &[&str])] = &[
    (
        "Acurast",
        &[
            "AttestationStored",
            "AttestationStoredV2",
            "CertificateRevocationListUpdated",
            "ExecutionEnvironmentsUpdated",
            "ExecutionEnvironmentsUpdatedV2",
            "V5MigrationStarted",
            "V5MigrationProgress",
            "V5MigrationCompleted",
        ],
    ),
    (
        "AcurastMarketplace",
        &[
            "AdvertisementStored",
            "AdvertisementStoredV2",
            "AdvertisementRemoved",
            "MinFeePerMillisecondUpdated",
            "V7MigrationStarted",
            "V7MigrationCompleted",
        ],
    ),
];

/// Pallets no event of which concerns a job.
const WITHOUT_CONSEQUENCE: &[&str] = &[
    "System",
    "ParachainSystem",
    "Timestamp",
    "ParachainInfo",
    "Sudo",
    "Scheduler",
    "Preimage",
    "Multisig",
    "Utility",
    "WeightReclaim",
    "Balances",
    "TransactionPayment",
    "Uniques",
    "Vesting",
    "Referenda",
    "ConvictionVoting",
    "Treasury",
    "Council",
    "Authorship",
    "CollatorSelection",
    "Session",
    "Aura",
    "AuraExt",
    "CouncilMembership",
    "Proxy",
    "OperationFunds",
    "LiquidityFunds",
    "ExtraFunds",
    "XcmpQueue",
    "PolkadotXcm",
    "CumulusXcm",
    "MessageQueue",
    "AcurastProcessorManager",
    "AcurastHyperdrive",
    "AcurastHyperdriveIbc",
    "AcurastHyperdriveToken",
    "AcurastRewardsTreasury",
    "AcurastCompute",
    "AcurastCandidatePreselection",
    "AcurastTokenConversion",
];

/// What an event is that no life-cycle rule takes.
pub(crate) fn without_fact(pallet: &str, variant: &str) -> Verdict {
    match LIFE_CYCLE.iter().find(|(name, _)| *name == pallet) {
        Some((_, harmless)) if harmless.contains(&variant) => Verdict::Ignored,
        Some(_) => Verdict::Unknown { keep: true },
        None if WITHOUT_CONSEQUENCE.contains(&pallet) => Verdict::Ignored,
        None => Verdict::Unknown { keep: pallet.starts_with("Acurast") },
    }
}
