//! What the tests share: fixtures, hand-made events, a state in memory, a development node.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

pub mod devnode;

use acurast_adapter_acurast::decode::{BlockInput, DecodeError, Decoded};
use acurast_adapter_acurast::reads::{Answer, Answers, At, Need, Pass};
use acurast_adapter_acurast::runtime::Runtime;
use acurast_adapter_acurast::{RecordedSource, Recording};
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis, ProcessorId};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use parity_scale_codec::{Compact, Encode};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn metadata(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

pub fn mainnet() -> Runtime {
    Runtime::new(2, metadata("acurast-mainnet-2.scale")).unwrap()
}

pub fn canary() -> Runtime {
    Runtime::new(44, metadata("acurast-canary-44.scale")).unwrap()
}

/// The mainnet runtime with a name replaced by another one of the same length: a runtime that is not known yet.
pub fn renamed(from: &str, to: &str) -> Runtime {
    assert_eq!(from.len(), to.len());
    let mut raw = metadata("acurast-mainnet-2.scale");
    let positions: Vec<_> =
        raw.windows(from.len()).enumerate().filter(|(_, window)| *window == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!positions.is_empty(), "{from} is not in the metadata");
    for at in positions {
        raw[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    Runtime::new(3, raw).unwrap()
}

/// The recorded life cycle of every kind of job.
pub fn recording() -> Arc<Recording> {
    let file = std::fs::File::open(fixture("lifecycle.jsonl")).unwrap();
    Arc::new(Recording::read(std::io::BufReader::new(file)).unwrap())
}

/// All blocks of a source that ends.
pub async fn all(source: &mut impl Source) -> Vec<SourceBlock> {
    let mut blocks = Vec::new();
    loop {
        match source.next().await {
            Ok(block) => blocks.push(block),
            Err(SourceError::End { .. }) => return blocks,
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn recorded() -> Vec<SourceBlock> {
    all(&mut RecordedSource::new(recording())).await
}

pub const GENESIS: Genesis = Genesis([7; 32]);
pub const PROCESSOR: ProcessorId = ProcessorId([9; 32]);

pub fn job(number: u128) -> JobId {
    JobId { origin: MultiOrigin::Acurast([1; 32]), number }
}

/// One event record by name.
pub fn event(runtime: &Runtime, extrinsic: Option<u32>, pallet: &str, variant: &str, fields: &[&[u8]]) -> Vec<u8> {
    let pallet = runtime.metadata().pallet_by_name(pallet).unwrap();
    let variant = pallet.event_variants().unwrap().iter().find(|v| v.name == variant).unwrap();
    let mut bytes = match extrinsic {
        Some(extrinsic) => [&[0], extrinsic.to_le_bytes().as_slice()].concat(),
        None => vec![2],
    };
    bytes.extend([pallet.event_index(), variant.index]);
    bytes.extend(fields.concat());
    bytes.push(0);
    bytes
}

/// The bytes of `System.Events`.
pub fn events(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Compact(u32::try_from(records.len()).unwrap()).encode();
    bytes.extend(records.concat());
    bytes
}

/// SCALE of a byte string.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec().encode()
}

/// Storage before and after a block, in memory.
#[derive(Clone, Default)]
pub struct World {
    pub values: BTreeMap<(At, Vec<u8>), Vec<u8>>,
    pub extrinsics: BTreeMap<u32, Vec<u8>>,
}

impl World {
    pub fn put(&mut self, runtime: &Runtime, at: At, pallet: &'static str, entry: &'static str, parts: &[&[u8]], value: Vec<u8>) {
        self.values.insert((at, runtime.storage_key(pallet, entry, parts).unwrap()), value);
    }

    pub fn registration(&mut self, runtime: &Runtime, at: At, job: &JobId, value: Vec<u8>) {
        let (origin, number) = (job.origin.scale(), job.number.to_le_bytes());
        self.put(runtime, at, "Acurast", "StoredJobRegistration", &[&origin, &number], value);
        self.put(runtime, at, "AcurastMarketplace", "JobBudgets", &[&job.scale()], 77_u128.encode());
    }

    pub fn assignment(&mut self, runtime: &Runtime, at: At, job: &JobId, processor: &ProcessorId, value: Vec<u8>) {
        self.put(runtime, at, "AcurastMarketplace", "AssignedProcessors", &[&job.scale(), &processor.0], Vec::new());
        self.put(runtime, at, "AcurastMarketplace", "StoredMatches", &[&processor.0, &job.scale()], value);
    }

    pub fn next_report_index(&mut self, runtime: &Runtime, at: At, job: &JobId, processor: &ProcessorId, index: u64) {
        self.put(runtime, at, "AcurastMarketplace", "NextReportIndex", &[&job.scale(), &processor.0], index.encode());
    }

    fn answer(&self, need: &Need) -> Answer {
        match need {
            Need::Value(at, key) => Answer::Value(self.values.get(&(*at, key.clone())).cloned()),
            Need::Keys(at, prefix) => {
                let keys = self.values.keys().filter(|(which, key)| which == at && key.starts_with(prefix));
                Answer::Keys(keys.map(|(_, key)| key.clone()).collect())
            }
            Need::Extrinsic(index) => Answer::Extrinsic(self.extrinsics.get(index).cloned()),
        }
    }

    /// Runs a decoder of a block with this storage to its end.
    pub fn run<T>(
        &self,
        runtime: &Runtime,
        parent_runtime: &Runtime,
        decoder: impl Fn(&BlockInput<'_>) -> Result<Pass<T>, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut answers = Answers::default();
        for _ in 0..8 {
            let input = BlockInput {
                genesis: GENESIS,
                number: BlockNumber(5),
                hash: BlockHash([5; 32]),
                runtime,
                parent_runtime,
                answers: &answers,
            };
            match decoder(&input)? {
                Pass::Done(done) => return Ok(done),
                Pass::Needs(needs) => {
                    let found: Vec<_> = needs.into_iter().map(|need| (need.clone(), self.answer(&need))).collect();
                    answers.0.extend(found);
                }
            }
        }
        panic!("the decoder asks in circles");
    }

    /// Decodes a block of these events at this time.
    pub fn decode(&mut self, runtime: &Runtime, now: u64, bytes: Vec<u8>) -> Decoded {
        self.put(runtime, At::Block, "System", "Events", &[], bytes);
        self.put(runtime, At::Block, "Timestamp", "Now", &[], now.encode());
        self.run(runtime, runtime, acurast_adapter_acurast::decode::decode).unwrap()
    }
}

/// SCALE of a registration: the one of the recording that a test can rely on, with this schedule and strategy.
pub struct RegistrationBytes {
    pub start: u64,
    pub executions: u64,
    pub interval: u64,
    pub duration: u64,
    pub competing: bool,
}

impl RegistrationBytes {
    pub fn encode(&self) -> Vec<u8> {
        let end = self.start + (self.executions - 1) * self.interval + 1;
        let strategy: &[u8] = if self.competing { &[1] } else { &[0, 0] };
        [
            text(b"ipfs://script").as_slice(),
            &[0, 1], // no list of allowed sources; verified ones only
            &self.duration.to_le_bytes(),
            &self.start.to_le_bytes(),
            &end.to_le_bytes(),
            &self.interval.to_le_bytes(),
            &0_u64.to_le_bytes(),
            &[0; 12], // memory, network requests, storage
            &[0],     // no modules
            strategy,
            &[1],                  // slots
            &5_u128.to_le_bytes(), // reward
            &[0, 0, 0],            // no reputation, no versions, NodeJS
        ]
        .concat()
    }
}

/// SCALE of an assignment.
pub struct AssignmentBytes {
    pub slot: u8,
    pub acknowledged: bool,
    pub reports_expected: u64,
    pub keys: Vec<(u8, Vec<u8>)>,
    pub execution: Option<u64>,
}

impl AssignmentBytes {
    pub fn encode(&self) -> Vec<u8> {
        let keys: Vec<u8> = self.keys.iter().flat_map(|(curve, bytes)| [vec![*curve], text(bytes)].concat()).collect();
        let execution = self.execution.map_or_else(|| vec![0], |index| [&[1], index.to_le_bytes().as_slice()].concat());
        [
            [self.slot].as_slice(),
            &0_u64.to_le_bytes(),
            &3_u128.to_le_bytes(),
            &[u8::from(self.acknowledged)],
            &self.reports_expected.to_le_bytes(),
            &0_u64.to_le_bytes(),
            &Compact(u32::try_from(self.keys.len()).unwrap()).encode(),
            &keys,
            &execution,
        ]
        .concat()
    }
}

pub fn names(facts: &[SourceEvent]) -> Vec<&'static str> {
    facts
        .iter()
        .map(|fact| match fact {
            SourceEvent::Registered(_) => "registered",
            SourceEvent::Matched(_) => "matched",
            SourceEvent::Acknowledged(_) => "acknowledged",
            SourceEvent::Reported(_) => "reported",
            SourceEvent::Removed(_) => "removed",
            SourceEvent::Amended(_) => "amended",
            SourceEvent::Remarked(_) => "remarked",
            SourceEvent::Found(_) => "found",
            SourceEvent::Reconciled(_) => "reconciled",
            SourceEvent::UnknownEvent(_) => "unknown",
            SourceEvent::QuarantinedEvent(_) => "quarantined",
            _ => "another",
        })
        .collect()
}
