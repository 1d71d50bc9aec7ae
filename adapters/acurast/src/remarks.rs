//! Finds the bytes of a remark in the extrinsic that made it.
//!
//! The event names the BLAKE2b-256 hash only. The call may be nested in batches, proxies, multisigs and wrappers that this
//! version has never heard of, so the call is found by its content: wherever the extrinsic holds the encoding of a
//! `remark_with_event` whose bytes have the wanted hash, these are the bytes. A hash can't match by accident, so this is as
//! sure as walking the call tree, and neither deep nesting nor an unknown wrapper hides a remark.

use crate::runtime::Runtime;
use acurast_events::bytes::{Bytes, MerkleNode};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use parity_scale_codec::{Compact, Decode};

/// How often the extrinsic's own length may be hashed before the search gives up. An honest extrinsic needs one; one that
/// is made of false starts could otherwise cost the square of its length.
const HASHED_LENGTHS_MAX: usize = 16;

/// BLAKE2b-256.
pub(crate) fn blake2_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}

/// The bytes in `extrinsic` that were remarked under `hash`.
pub(crate) fn find_remark(runtime: &Runtime, extrinsic: &[u8], hash: &MerkleNode) -> Option<Bytes> {
    let call = runtime.call_index("System", "remark_with_event")?;
    let mut budget = extrinsic.len().saturating_mul(HASHED_LENGTHS_MAX);
    for (position, window) in extrinsic.windows(call.len()).enumerate() {
        if window != call {
            continue;
        }
        let mut rest = extrinsic.get(position.checked_add(call.len())?..)?;
        let Ok(Compact(length)) = Compact::<u32>::decode(&mut rest) else { continue };
        let Some(remark) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else { continue };
        budget = budget.checked_sub(remark.len())?;
        if blake2_256(remark) == hash.0 {
            return Some(Bytes(remark.to_vec()));
        }
    }
    None
}
