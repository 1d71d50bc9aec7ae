//! The raw event records of a block: `System.Events` cut into records, without judging what they mean.
//!
//! A record that does not decode ends the walk, because nothing says where the next one would begin: the rest of the bytes
//! is handed back with the reason and never dropped silently.

use crate::runtime::Runtime;
use parity_scale_codec::{Compact, Decode};

/// Raw bytes of a hash in an event's topics.
type Topic = [u8; 32];

/// One event record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// Position in the block.
    pub index: u32,
    /// The extrinsic that emitted it; nothing for events of the block's begin and end.
    pub extrinsic: Option<u32>,
    /// Pallet name.
    pub pallet: &'a str,
    /// Variant name.
    pub variant: &'a str,
    /// Index of the pallet's events.
    pub pallet_index: u8,
    /// Index of the variant.
    pub variant_index: u8,
    /// SCALE bytes of the fields.
    pub fields: &'a [u8],
}

/// What is left when a record does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable<'a> {
    /// Position of the record in the block.
    pub index: u32,
    /// The extrinsic, if it could be read.
    pub extrinsic: Option<u32>,
    /// Pallet name, or its index in decimal.
    pub pallet: String,
    /// Variant name, or its index in decimal.
    pub variant: String,
    /// All bytes from the record on.
    pub bytes: &'a [u8],
    /// Why.
    pub reason: String,
}

/// The phase of a block in which an event was emitted, as `frame_system` encodes it.
#[derive(Decode)]
enum Phase {
    ApplyExtrinsic(u32),
    Finalization,
    Initialization,
}

/// Cuts the bytes of `System.Events` into records; no bytes are no events.
pub fn records<'a>(runtime: &'a Runtime, bytes: &'a [u8]) -> (Vec<EventRecord<'a>>, Option<Undecodable<'a>>) {
    let mut found = Vec::new();
    let mut rest = bytes;
    if bytes.is_empty() {
        return (found, None);
    }
    let count = match Compact::<u32>::decode(&mut rest) {
        Ok(Compact(count)) => count,
        Err(error) => return (found, Some(unreadable(0, None, bytes, error.to_string()))),
    };
    for index in 0..count {
        let start = rest;
        match record(runtime, index, &mut rest) {
            Ok(record) => found.push(record),
            Err(mut undecodable) => {
                undecodable.bytes = start;
                return (found, Some(undecodable));
            }
        }
    }
    let tail = (!rest.is_empty()).then(|| unreadable(count, None, rest, "bytes after the last event".into()));
    (found, tail)
}

fn unreadable(index: u32, extrinsic: Option<u32>, bytes: &[u8], reason: String) -> Undecodable<'_> {
    Undecodable { index, extrinsic, pallet: "?".into(), variant: "?".into(), bytes, reason }
}

fn record<'a>(runtime: &'a Runtime, index: u32, rest: &mut &'a [u8]) -> Result<EventRecord<'a>, Undecodable<'a>> {
    let extrinsic = match Phase::decode(rest) {
        Ok(Phase::ApplyExtrinsic(extrinsic)) => Some(extrinsic),
        Ok(Phase::Finalization | Phase::Initialization) => None,
        Err(error) => return Err(unreadable(index, None, rest, format!("phase: {error}"))),
    };
    let [pallet_index, variant_index] =
        <[u8; 2]>::decode(rest).map_err(|error| unreadable(index, extrinsic, rest, format!("pallet and variant: {error}")))?;
    let failure = |pallet: String, variant: String, reason: String| Undecodable { index, extrinsic, pallet, variant, bytes: &[], reason };
    let pallet = runtime
        .metadata()
        .pallet_by_event_index(pallet_index)
        .ok_or_else(|| failure(pallet_index.to_string(), variant_index.to_string(), "the runtime has no such pallet".into()))?;
    let variant = pallet
        .event_variant_by_index(variant_index)
        .ok_or_else(|| failure(pallet.name().into(), variant_index.to_string(), "the pallet has no such event".into()))?;
    let failure = |reason: String| failure(pallet.name().into(), variant.name.clone(), reason);
    let before = *rest;
    for field in &variant.fields {
        runtime.skip(field.ty.id, rest).map_err(&failure)?;
    }
    let fields = before.get(..before.len().saturating_sub(rest.len())).unwrap_or_default();
    Vec::<Topic>::decode(rest).map_err(|error| failure(format!("topics: {error}")))?;
    Ok(EventRecord { index, extrinsic, pallet: pallet.name(), variant: &variant.name, pallet_index, variant_index, fields })
}
