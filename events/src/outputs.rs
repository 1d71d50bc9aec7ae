//! Events of `outputs.v1`, an input topic: outputs that the API took, their signature checked (PROTOCOL §5).

use crate::bytes::{AssignmentId, Bytes, OwnerKey};
use crate::units::{Execution, Timestamp};

crate::message! {
    /// A processor's output for one execution.
    pub struct Output {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The execution.
        2 execution: Execution,
        /// What the target gets.
        3 payload: Bytes,
        /// The processor's signature, in the form of its key type.
        4 signature: Bytes,
    }

    /// One record of the topic, keyed by owner.
    pub struct OutputSubmitted {
        /// The owner of the job, the record's key.
        1 owner: OwnerKey,
        /// The output.
        2 output: Output,
        /// When the API took it.
        3 at: Timestamp,
    }
}
