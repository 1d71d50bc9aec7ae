//! What a lane may ask attesters to sign, by its own records: for an attester whose memory was lost, or is another host's.
//!
//! A root is asked about only after its leaves, with their bits, were accepted and read back (PROTOCOL §4). So the leaves
//! that a lane's records accepted are all that it ever asked for, and perhaps some that it never came to.

use acurast_events::jobs::LeafPlanned;
use acurast_events::lanes::LanesEvent;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::Bit;

/// The leaf that a root proves of `intent`, with the first of its bits.
pub fn leaf_of(intent: &LeafPlanned, bit: Bit) -> AssignmentLeaf {
    AssignmentLeaf {
        assignment_id: intent.assignment_id,
        escrow_id: intent.escrow_id,
        job_number: intent.job_number,
        key_type: intent.key_type,
        signer_key: intent.signer_key,
        first_execution: intent.first_execution,
        executions: intent.executions,
        not_after: intent.not_after,
        bit,
    }
}

/// The leaves that these events allow to be asked for.
pub fn asked_leaves(events: &[LanesEvent]) -> impl Iterator<Item = AssignmentLeaf> {
    events.iter().filter_map(|event| match event {
        LanesEvent::RootAccepted(accepted) => Some(leaf_of(&accepted.intent, accepted.bit)),
        LanesEvent::Progress(_)
        | LanesEvent::StateDigest(_)
        | LanesEvent::LaneOpened(_)
        | LanesEvent::FulfillmentAccepted(_)
        | LanesEvent::RootPlanned(_)
        | LanesEvent::RootAttested(_)
        | LanesEvent::RootAbandoned(_)
        | LanesEvent::AttemptReserved(_)
        | LanesEvent::AttemptPrepared(_)
        | LanesEvent::AttemptIncluded(_)
        | LanesEvent::AttemptOrphaned(_)
        | LanesEvent::AttemptEnded(_)
        | LanesEvent::SlotFinal(_)
        | LanesEvent::IntentReturned(_)
        | LanesEvent::IntentDead(_)
        | LanesEvent::EffectFound(_)
        | LanesEvent::EffectLost(_)
        | LanesEvent::LaneQuarantined(_)
        | LanesEvent::Rewound(_) => None,
    })
}
