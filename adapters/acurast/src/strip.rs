//! Takes the prose out of metadata, which is more than half of it, so that recordings stay small.
//!
//! Names and types stay as they are: nothing that is decoded by them changes.

use parity_scale_codec::{Decode, Encode};
use scale_info::form::PortableForm;
use scale_info::{PortableRegistry, TypeDef};
use subxt::ext::frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed, v14, v15};

/// Metadata of version 14 or 15 without its documentation; any other, and what does not decode, as it is.
pub fn without_docs(raw: Vec<u8>) -> Vec<u8> {
    let Ok(mut metadata) = RuntimeMetadataPrefixed::decode(&mut &raw[..]) else { return raw };
    match &mut metadata.1 {
        RuntimeMetadata::V14(metadata) => {
            types(&mut metadata.types);
            for pallet in &mut metadata.pallets {
                pallet14(pallet);
            }
        }
        RuntimeMetadata::V15(metadata) => {
            types(&mut metadata.types);
            for pallet in &mut metadata.pallets {
                pallet15(pallet);
            }
            for api in &mut metadata.apis {
                api.docs.clear();
                api.methods.iter_mut().for_each(|method| method.docs.clear());
            }
        }
        _ => return raw,
    }
    metadata.encode()
}

fn pallet14(pallet: &mut v14::PalletMetadata<PortableForm>) {
    pallet.storage.iter_mut().flat_map(|storage| &mut storage.entries).for_each(|entry| entry.docs.clear());
    pallet.constants.iter_mut().for_each(|constant| constant.docs.clear());
}

fn pallet15(pallet: &mut v15::PalletMetadata<PortableForm>) {
    pallet.docs.clear();
    pallet.storage.iter_mut().flat_map(|storage| &mut storage.entries).for_each(|entry| entry.docs.clear());
    pallet.constants.iter_mut().for_each(|constant| constant.docs.clear());
}

fn types(registry: &mut PortableRegistry) {
    for portable in &mut registry.types {
        portable.ty.docs.clear();
        match &mut portable.ty.type_def {
            TypeDef::Composite(composite) => composite.fields.iter_mut().for_each(|field| field.docs.clear()),
            TypeDef::Variant(variant) => {
                for variant in &mut variant.variants {
                    variant.docs.clear();
                    variant.fields.iter_mut().for_each(|field| field.docs.clear());
                }
            }
            TypeDef::Sequence(_)
            | TypeDef::Array(_)
            | TypeDef::Tuple(_)
            | TypeDef::Primitive(_)
            | TypeDef::Compact(_)
            | TypeDef::BitSequence(_) => {}
        }
    }
}
