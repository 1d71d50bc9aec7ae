//! The events that were recorded before this crate existed decode to the same bytes and names, and to facts.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_acurast::reads::At;
use acurast_adapter_acurast::records::records;
use acurast_events::source::SourceEvent;
use serde_json::Value;
use support::{World, fixture, mainnet};

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn blocks(name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap();
    file["blocks"].as_array().unwrap().clone()
}

/// Compares every event of a fixture; returns how many there were.
fn compare(name: &str) -> usize {
    let runtime = mainnet();
    let mut count = 0;
    for block in blocks(name) {
        let bytes = unhex(&block["systemEvents"]);
        let (found, rest) = records(&runtime, &bytes);
        let expected = block["events"].as_array().unwrap();
        assert_eq!((found.len(), rest), (expected.len(), None), "{name} {}", block["number"]);
        for (record, expected) in found.iter().zip(expected) {
            let scale = [&[record.pallet_index, record.variant_index], record.fields].concat();
            assert_eq!(scale, unhex(&expected["scale"]));
            assert_eq!(u64::from(record.index), expected["index"].as_u64().unwrap());
            assert_eq!(record.extrinsic.map(u64::from), expected["extrinsic"].as_u64());
            assert_eq!(record.variant, expected["variant"]);
            assert_eq!(record.pallet, expected["pallet"]);
            count += 1;
        }
    }
    count
}

#[test]
fn the_320_recorded_events_of_the_life_cycle_decode_identically() {
    assert_eq!(compare("lifecycle-mainnet-2-real-genesis.json"), 320);
}

#[test]
fn events_of_jobs_of_ethereum_and_tezos_owners_decode_identically() {
    assert_eq!(compare("lifecycle-ethereum-origin-mainnet-2.json"), 53);
    assert_eq!(compare("lifecycle-tezos-origin-mainnet-2.json"), 53);
}

#[test]
fn every_recorded_block_decodes_to_facts_and_nothing_is_unknown_or_quarantined() {
    let runtime = mainnet();
    let mut facts = std::collections::BTreeMap::<&str, usize>::new();
    for name in
        ["lifecycle-mainnet-2-real-genesis.json", "lifecycle-ethereum-origin-mainnet-2.json", "lifecycle-tezos-origin-mainnet-2.json"]
    {
        for block in blocks(name) {
            let mut world = World::default();
            world.put(&runtime, At::Block, "System", "Number", &[], Vec::new());
            let decoded = world.decode(&runtime, block["timestamp"].as_u64().unwrap(), unhex(&block["systemEvents"]));
            assert_eq!((decoded.counts.quarantined, decoded.counts.unknown.len()), (0, 0), "{name} {}", block["label"]);
            for (name, fact) in support::names(&decoded.facts).into_iter().zip(&decoded.facts) {
                // Without storage every detail is lost, and no fact is.
                if let SourceEvent::Registered(fact) = fact {
                    assert_eq!(fact.registration, None);
                }
                *facts.entry(name).or_default() += 1;
            }
        }
    }
    let count = |name: &str| {
        let of = |variants: &[&str]| {
            let files = [
                "lifecycle-mainnet-2-real-genesis.json",
                "lifecycle-ethereum-origin-mainnet-2.json",
                "lifecycle-tezos-origin-mainnet-2.json",
            ];
            let all = files.iter().flat_map(|file| blocks(file)).flat_map(|block| block["events"].as_array().unwrap().clone());
            all.filter(|event| variants.iter().any(|variant| event["variant"] == *variant)).count()
        };
        match name {
            "registered" => of(&["JobRegistrationStoredV2"]),
            "matched" => of(&["JobRegistrationMatchedV2", "JobExecutionMatchedV2"]),
            "acknowledged" => of(&["JobRegistrationAssignedV2"]),
            "reported" => of(&["ReportedV2"]),
            "removed" => of(&["JobRegistrationRemoved"]),
            "amended" => of(&["JobScriptEdited", "JobFinalized", "EditorTransferred", "JobBecameImmutable"]),
            "remarked" => of(&["Remarked"]),
            other => panic!("{other}"),
        }
    };
    for (name, found) in &facts {
        assert_eq!(*found, count(name), "{name}");
    }
    for name in ["registered", "matched", "acknowledged", "reported", "removed", "amended", "remarked"] {
        assert!(facts.contains_key(name), "no fact of kind {name}: {facts:?}");
    }
}
