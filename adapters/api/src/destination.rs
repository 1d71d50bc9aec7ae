//! The pure side of a destination: which key signs for it and whether an output's signature holds. No I/O.

use acurast_events::bytes::{Bytes, EscrowId, OwnerKey, SignerKey};
use acurast_events::leaves::KeyType;
use acurast_events::outputs::Output;
use acurast_events::source::PublicKey;

/// The key of a processor that a leaf names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsableKey {
    /// Its kind.
    pub key_type: KeyType,
    /// Its form in a leaf.
    pub signer_key: SignerKey,
}

/// Why an output can't be taken, whoever asks. Nothing is stored and nothing spent for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputRefusal {
    /// The signature is not by the assignment's key over exactly this output.
    #[error("the signature is not by the key that the processor acknowledged with: {0}")]
    Signature(String),
    /// The signature has another form than the key kind's.
    #[error("malformed signature: {0}")]
    Malformed(String),
    /// The destination can't verify this kind of key.
    #[error("this destination does not accept keys of kind {0:?}")]
    KeyType(KeyType),
}

/// What settle has to know of a destination; pure functions of their arguments, so that replay gives the same.
pub trait DestinationRules: Send + Sync {
    /// The first key in list order of the destination's preferred kind; encryption keys never (PROTOCOL §4).
    fn choose_key(&self, keys: &[PublicKey]) -> Option<UsableKey>;

    /// Checks a processor's signature over an output for `settlement` (the contract's raw bytes).
    ///
    /// # Errors
    /// Why the output is refused.
    fn verify_output(&self, settlement: &Bytes, key: &UsableKey, output: &Output) -> Result<(), OutputRefusal>;

    /// The id that the settlement contract gives an escrow account (PROTOCOL §6); nothing where a destination has no
    /// accounts of its own. The origin rule (PROTOCOL §2) finds the paying account by it before the account is opened.
    fn escrow_id(&self, _settlement: &Bytes, _opener: &Bytes, _target: &Bytes, _owner: &OwnerKey, _salt: &[u8; 32]) -> Option<EscrowId> {
        None
    }
}
