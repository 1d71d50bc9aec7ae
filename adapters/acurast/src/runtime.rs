//! One runtime version of an Acurast chain: its metadata, and what is decoded and addressed by it.
//!
//! Everything goes by name: pallets, variants, storage entries and fields are looked up in the metadata of the runtime
//! that wrote them, so an upgrade that moves an index or adds a field changes nothing here.

use scale_decode::visitor::{IgnoreVisitor, decode_with_visitor};
use scale_decode::{DecodeAsFields, DecodeAsType, Field};
use std::fmt;
use subxt::Metadata;
use subxt::ext::frame_decode::storage::encode_storage_key;
use subxt::ext::scale_encode::{self, EncodeAsType};
use subxt::ext::scale_type_resolver::TypeResolver;

/// Why metadata is of no use, or bytes are not what the metadata says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The metadata itself does not decode.
    #[error("metadata of runtime {spec_version} does not decode: {reason}")]
    Metadata {
        /// The runtime's version.
        spec_version: u32,
        /// Why.
        reason: String,
    },
    /// The runtime has no such storage entry, or not with such keys.
    #[error("runtime {spec_version} has no usable storage {pallet}.{entry}: {reason}")]
    Storage {
        /// The runtime's version.
        spec_version: u32,
        /// The pallet.
        pallet: &'static str,
        /// The entry.
        entry: &'static str,
        /// Why.
        reason: String,
    },
    /// A value is not of the shape that this version reads.
    #[error("{what} does not decode: {reason}")]
    Value {
        /// What it is.
        what: String,
        /// Why.
        reason: String,
    },
}

/// A runtime version with its metadata.
pub struct Runtime {
    spec_version: u32,
    metadata: Metadata,
    raw: Vec<u8>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("spec_version", &self.spec_version).finish_non_exhaustive()
    }
}

/// Bytes that are SCALE already, as part of a storage key.
struct Encoded<'a>(&'a [u8]);

impl EncodeAsType for Encoded<'_> {
    fn encode_as_type_to<R: TypeResolver>(&self, _type_id: R::TypeId, _types: &R, out: &mut Vec<u8>) -> Result<(), scale_encode::Error> {
        out.extend_from_slice(self.0);
        Ok(())
    }
}

impl Runtime {
    /// The runtime of this version with its metadata, as `state_getMetadata` answers it.
    ///
    /// # Errors
    /// When the metadata does not decode.
    pub fn new(spec_version: u32, raw: Vec<u8>) -> Result<Self, RuntimeError> {
        let metadata = Metadata::decode_from(&raw).map_err(|error| RuntimeError::Metadata { spec_version, reason: error.to_string() })?;
        Ok(Self { spec_version, metadata, raw })
    }

    /// The runtime's version.
    pub fn spec_version(&self) -> u32 {
        self.spec_version
    }

    /// The metadata's bytes.
    pub fn raw_metadata(&self) -> &[u8] {
        &self.raw
    }

    /// The decoded metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The storage key of an entry with these key parts, each in SCALE; fewer parts than the entry has give a prefix.
    ///
    /// # Errors
    /// When the runtime has no such entry or more parts are given than it has.
    pub fn storage_key(&self, pallet: &'static str, entry: &'static str, parts: &[&[u8]]) -> Result<Vec<u8>, RuntimeError> {
        let parts: Vec<_> = parts.iter().map(|part| Encoded(part)).collect();
        encode_storage_key(pallet, entry, parts, &self.metadata, self.metadata.types()).map_err(|error| RuntimeError::Storage {
            spec_version: self.spec_version,
            pallet,
            entry,
            reason: error.to_string(),
        })
    }

    /// A stored value of an entry.
    ///
    /// # Errors
    /// When the entry is unknown, or the bytes are not exactly such a value.
    pub fn storage_value<T: DecodeAsType>(&self, pallet: &'static str, entry: &'static str, bytes: &[u8]) -> Result<T, RuntimeError> {
        let type_id = self
            .metadata
            .pallet_by_name(pallet)
            .and_then(|pallet| pallet.storage())
            .and_then(|storage| storage.entry_by_name(entry))
            .map(|entry| entry.value_ty())
            .ok_or_else(|| RuntimeError::Storage {
                spec_version: self.spec_version,
                pallet,
                entry,
                reason: "not in the metadata".into(),
            })?;
        let error = |reason: String| RuntimeError::Value { what: format!("{pallet}.{entry} = 0x{}", hex::encode(bytes)), reason };
        let mut rest = bytes;
        let value = T::decode_as_type(&mut rest, type_id, self.metadata.types()).map_err(|cause| error(cause.to_string()))?;
        if rest.is_empty() { Ok(value) } else { Err(error(format!("{} trailing bytes", rest.len()))) }
    }

    /// The first field of an event; the others were skipped when the event was cut out.
    ///
    /// # Errors
    /// When there is none, or it is not of the expected shape.
    pub fn event_first_field<T: DecodeAsType>(&self, pallet: u8, variant: u8, bytes: &[u8]) -> Result<T, RuntimeError> {
        let error = |reason: String| RuntimeError::Value { what: "event".into(), reason };
        let field = self
            .metadata
            .pallet_by_event_index(pallet)
            .and_then(|pallet| pallet.event_variant_by_index(variant))
            .and_then(|variant| variant.fields.first())
            .ok_or_else(|| error("no such field in the metadata".into()))?;
        let mut rest = bytes;
        T::decode_as_type(&mut rest, field.ty.id, self.metadata.types()).map_err(|cause| error(cause.to_string()))
    }

    /// The fields of an event.
    ///
    /// # Errors
    /// When the fields are not of the expected shape.
    pub fn event_fields<T: DecodeAsFields>(&self, pallet: u8, variant: u8, bytes: &[u8]) -> Result<T, RuntimeError> {
        let error = |reason: String| RuntimeError::Value { what: "event".into(), reason };
        let variant = self
            .metadata
            .pallet_by_event_index(pallet)
            .and_then(|pallet| pallet.event_variant_by_index(variant))
            .ok_or_else(|| error("not in the metadata".into()))?;
        let mut fields = variant.fields.iter().map(|field| Field::new(field.ty.id, field.name.as_deref()));
        let mut rest = bytes;
        let value = T::decode_as_fields(&mut rest, &mut fields, self.metadata.types()).map_err(|cause| error(cause.to_string()))?;
        // A shorter tuple would decode the front of a longer event; what is left over means that the event has another shape.
        if rest.is_empty() { Ok(value) } else { Err(error(format!("{} trailing bytes", rest.len()))) }
    }

    /// Skips a value of this type.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn skip(&self, type_id: u32, bytes: &mut &[u8]) -> Result<(), String> {
        decode_with_visitor(bytes, type_id, self.metadata.types(), IgnoreVisitor::new()).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Pallet and call index of a call, by name.
    pub fn call_index(&self, pallet: &str, call: &str) -> Option<[u8; 2]> {
        let pallet = self.metadata.pallet_by_name(pallet)?;
        Some([pallet.call_index(), pallet.call_variant_by_name(call)?.index])
    }
}
