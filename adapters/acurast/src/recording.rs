//! The recording format: finalized blocks with everything that was read for them, so that anybody can replay real input.
//!
//! A file is JSON lines. The first is the header with the genesis; a `runtime` line brings the metadata of a runtime
//! version before the first block that needs it; each `block` line holds a block with the answers that its decoding asked
//! for. A recording needs nothing else, and a replay runs the same decoder over the same answers.

use crate::raw::RawBlock;
use crate::reads::{Answer, Answers, At, Need};
use crate::runtime::Runtime;
use crate::strip::without_docs;
use acurast_events::bytes::{BlockHash, Bytes, Genesis};
use acurast_events::units::BlockNumber;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// Name and version of the format, the first thing in a file.
const FORMAT: &str = "acurast-recording/1";

/// Why a recording can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system.
    #[error("recording: {0}")]
    Io(#[from] io::Error),
    /// A line is not of the format.
    #[error("recording, line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Header { format: String, genesis: Genesis },
    Runtime { spec_version: u32, metadata: Bytes },
    Block(BlockLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockLine {
    number: u64,
    hash: BlockHash,
    parent: BlockHash,
    spec_version: u32,
    parent_spec_version: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first_start: bool,
    /// Values after the block, then before it, by storage key; null: nothing is stored.
    values: BTreeMap<Bytes, Option<Bytes>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parent_values: BTreeMap<Bytes, Option<Bytes>>,
    /// Keys after the block, then before it, by their prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<Bytes, Vec<Bytes>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parent_keys: BTreeMap<Bytes, Vec<Bytes>>,
    /// Extrinsics that carry remarks, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extrinsics: Vec<(u32, Option<Bytes>)>,
}

impl From<&RawBlock> for BlockLine {
    fn from(block: &RawBlock) -> Self {
        let mut line = Self {
            number: block.number.0,
            hash: block.hash,
            parent: block.parent,
            spec_version: block.spec_version,
            parent_spec_version: block.parent_spec_version,
            first_start: block.first_start,
            values: BTreeMap::new(),
            parent_values: BTreeMap::new(),
            keys: BTreeMap::new(),
            parent_keys: BTreeMap::new(),
            extrinsics: Vec::new(),
        };
        for (need, answer) in &block.answers.0 {
            match (need, answer) {
                (Need::Value(at, key), Answer::Value(value)) => {
                    let values = if *at == At::Block { &mut line.values } else { &mut line.parent_values };
                    values.insert(Bytes(key.clone()), value.clone().map(Bytes));
                }
                (Need::Keys(at, prefix), Answer::Keys(found)) => {
                    let keys = if *at == At::Block { &mut line.keys } else { &mut line.parent_keys };
                    keys.insert(Bytes(prefix.clone()), found.iter().cloned().map(Bytes).collect());
                }
                (Need::Extrinsic(index), Answer::Extrinsic(bytes)) => line.extrinsics.push((*index, bytes.clone().map(Bytes))),
                // An answer to another question would not be found by the decoder either.
                (Need::Value(..) | Need::Keys(..) | Need::Extrinsic(_), _) => {}
            }
        }
        line
    }
}

impl From<BlockLine> for RawBlock {
    fn from(line: BlockLine) -> Self {
        let values = |at: At, values: BTreeMap<Bytes, Option<Bytes>>| {
            values.into_iter().map(move |(key, value)| (Need::Value(at, key.0), Answer::Value(value.map(|value| value.0))))
        };
        let keys = |at: At, keys: BTreeMap<Bytes, Vec<Bytes>>| {
            keys.into_iter()
                .map(move |(prefix, keys)| (Need::Keys(at, prefix.0), Answer::Keys(keys.into_iter().map(|key| key.0).collect())))
        };
        let extrinsics =
            line.extrinsics.into_iter().map(|(index, bytes)| (Need::Extrinsic(index), Answer::Extrinsic(bytes.map(|bytes| bytes.0))));
        let answers = values(At::Block, line.values)
            .chain(values(At::Parent, line.parent_values))
            .chain(keys(At::Block, line.keys))
            .chain(keys(At::Parent, line.parent_keys))
            .chain(extrinsics)
            .collect();
        Self {
            number: BlockNumber(line.number),
            hash: line.hash,
            parent: line.parent,
            spec_version: line.spec_version,
            parent_spec_version: line.parent_spec_version,
            first_start: line.first_start,
            answers: Answers(answers),
        }
    }
}

/// Writes a recording, line by line; whatever was written before a crash is a recording too.
#[derive(Debug)]
pub struct RecordingWriter<W> {
    out: W,
    runtimes: BTreeSet<u32>,
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording of the chain of this genesis.
    ///
    /// # Errors
    /// When the header can't be written.
    pub fn new(out: W, genesis: Genesis) -> Result<Self, RecordingError> {
        let mut writer = Self { out, runtimes: BTreeSet::new() };
        writer.line(&Line::Header { format: FORMAT.into(), genesis })?;
        Ok(writer)
    }

    /// Whether the metadata of this runtime is still to be written before a block that needs it.
    pub fn lacks_runtime(&self, spec_version: u32) -> bool {
        !self.runtimes.contains(&spec_version)
    }

    /// Adds a runtime, its metadata without the documentation.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn runtime(&mut self, spec_version: u32, metadata: Vec<u8>) -> Result<(), RecordingError> {
        self.line(&Line::Runtime { spec_version, metadata: Bytes(without_docs(metadata)) })?;
        self.runtimes.insert(spec_version);
        Ok(())
    }

    /// Adds a block.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn block(&mut self, block: &RawBlock) -> Result<(), RecordingError> {
        self.line(&Line::Block(block.into()))
    }

    fn line(&mut self, line: &Line) -> Result<(), RecordingError> {
        serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(self.out.flush()?)
    }
}

/// A recording in memory, its blocks consecutive.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Genesis of the recorded chain.
    pub genesis: Genesis,
    /// The runtimes, by version.
    pub runtimes: BTreeMap<u32, Arc<Runtime>>,
    /// The blocks, ascending.
    pub blocks: Vec<RawBlock>,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// When a line is not of the format, a block does not follow on the one before, or its runtime is missing. Only a last
    /// line that lacks its line break, which a crash left behind, is passed over.
    pub fn read(mut input: impl BufRead) -> Result<Self, RecordingError> {
        let mut recording: Option<Self> = None;
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            if input.read_line(&mut text)? == 0 || !text.ends_with('\n') {
                break;
            }
            let error = |reason: String| RecordingError::Line { line, reason };
            let parsed: Line = serde_json::from_str(&text).map_err(|cause| error(cause.to_string()))?;
            recording = Some(match (recording, parsed) {
                (None, Line::Header { format, genesis }) if format == FORMAT => {
                    Self { genesis, runtimes: BTreeMap::new(), blocks: Vec::new() }
                }
                (None, Line::Header { format, .. }) => return Err(error(format!("format {format:?}; this version reads {FORMAT}"))),
                (None, Line::Runtime { .. } | Line::Block(_)) => return Err(error("a recording begins with its header".into())),
                (Some(_), Line::Header { .. }) => return Err(error("a second header".into())),
                (Some(mut recording), Line::Runtime { spec_version, metadata }) => {
                    let runtime = Runtime::new(spec_version, metadata.0).map_err(|cause| error(cause.to_string()))?;
                    recording.runtimes.insert(spec_version, Arc::new(runtime));
                    recording
                }
                (Some(mut recording), Line::Block(block)) => {
                    recording.push(block.into()).map_err(error)?;
                    recording
                }
            });
        }
        recording.ok_or_else(|| RecordingError::Line { line: 1, reason: "the file is empty".into() })
    }

    fn push(&mut self, block: RawBlock) -> Result<(), String> {
        if let Some(spec_version) = [block.spec_version, block.parent_spec_version].into_iter().find(|v| !self.runtimes.contains_key(v)) {
            return Err(format!("block {} needs runtime {spec_version}, which no line before it brings", block.number));
        }
        match self.blocks.last() {
            Some(last) if last.number.next() != block.number || last.hash != block.parent => {
                Err(format!("block {} with parent {} does not follow on {} {}", block.number, block.parent, last.number, last.hash))
            }
            _ => {
                self.blocks.push(block);
                Ok(())
            }
        }
    }
}
