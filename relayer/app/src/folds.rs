//! The three kinds of authoritative partition as folds: sources, jobs, lanes.

use crate::fold::Fold;
use acurast_adapter_acurast::KnownJobs;
use acurast_events::bytes::{BlockHash, ProcessorId};
use acurast_events::job_id::JobId;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::source::{BlockSealed, SourceEvent};
use acurast_events::units::{BlockNumber, Term};
use acurast_events::wire::Message;
use acurast_relayer_core::{Partition, Subject};
use acurast_relayer_journal::AcceptedRecord;
use acurast_relayer_lane::Lane;
use acurast_relayer_store::{PartitionView, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the rows that these folds write; raised when one of them changes, and stores are folded anew.
pub const SCHEMA: u32 = 3;

const TABLE_SEAL: u8 = 1;
const TABLE_KNOWN: u8 = 2;
/// Facts whose seal wasn't read yet. They are rows so that a fold which ends within a block goes on where it was.
const TABLE_OPEN: u8 = 3;

/// A source topic: the last sealed block, the jobs that its facts so far know of, and the facts of the block in the making.
#[derive(Debug, Default)]
pub struct SourceFold {
    last: Option<(BlockNumber, BlockHash)>,
    known: KnownJobs,
    term: Term,
    open: Vec<SourceEvent>,
    touched: BTreeSet<JobId>,
    sealed: bool,
    /// Rows of open facts that are stored, and whether they are of facts that are open no more.
    stored: u32,
    stale: bool,
}

impl SourceFold {
    /// The fold as it was stored.
    ///
    /// # Errors
    /// When a row is of another version.
    pub fn load(view: &PartitionView) -> Result<Self, String> {
        let mut fold = Self::default();
        for row in view.all_rows() {
            let (table, key, value) = row.map_err(|error| error.to_string())?;
            match table {
                TABLE_SEAL => fold.last = Some(postcard::from_bytes(&value).map_err(|error| error.to_string())?),
                TABLE_KNOWN => {
                    let job = JobId::from_scale(&key).map_err(|error| error.to_string())?;
                    let processors: BTreeMap<ProcessorId, bool> = postcard::from_bytes(&value).map_err(|error| error.to_string())?;
                    fold.known.restore(job, processors);
                }
                TABLE_OPEN => {
                    let (term, fact): (Term, Vec<u8>) = postcard::from_bytes(&value).map_err(|error| error.to_string())?;
                    fold.term = term;
                    fold.open.push(SourceEvent::decode(&fact).map_err(|error| error.to_string())?);
                    fold.stored = fold.stored.saturating_add(1);
                }
                other => return Err(format!("a source has no table {other}")),
            }
        }
        Ok(fold)
    }

    /// The last sealed block.
    pub fn last(&self) -> Option<(BlockNumber, BlockHash)> {
        self.last
    }

    /// The jobs that are known.
    pub fn known(&self) -> &KnownJobs {
        &self.known
    }
}

impl Fold for SourceFold {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        if record.record.term != self.term {
            // Facts that no seal of their term follows count as never seen.
            self.term = record.record.term;
            self.stale |= !self.open.is_empty();
            self.open.clear();
        }
        for event in record.record.decode_events::<SourceEvent>().map_err(|error| error.to_string())? {
            match event {
                SourceEvent::BlockSealed(BlockSealed { number, hash, .. }) => {
                    self.last = Some((number, hash));
                    self.sealed = true;
                    self.stale = true;
                    for fact in self.open.drain(..) {
                        self.known.apply(&fact);
                        self.touched.extend(fact.job().cloned());
                    }
                }
                SourceEvent::Progress(_) | SourceEvent::StateDigest(_) => {}
                fact => self.open.push(fact),
            }
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        let encode = |error: postcard::Error| error.to_string();
        let mut rows = Vec::new();
        if std::mem::take(&mut self.sealed)
            && let Some(last) = &self.last
        {
            rows.push((TABLE_SEAL, Vec::new(), Some(postcard::to_stdvec(last).map_err(encode)?)));
        }
        for job in std::mem::take(&mut self.touched) {
            let value = self.known.processors(&job).map(postcard::to_stdvec).transpose().map_err(encode)?;
            rows.push((TABLE_KNOWN, job.scale(), value));
        }
        // Most blocks come whole, and nothing of them ever is a row here.
        if std::mem::take(&mut self.stale) {
            rows.extend((0..self.stored).map(|index| (TABLE_OPEN, index.to_be_bytes().to_vec(), None)));
            self.stored = 0;
        }
        for (index, fact) in (0u32..).zip(&self.open).skip(usize::try_from(self.stored).unwrap_or(usize::MAX)) {
            let value = postcard::to_stdvec(&(self.term, fact.encode())).map_err(encode)?;
            rows.push((TABLE_OPEN, index.to_be_bytes().to_vec(), Some(value)));
            self.stored = index.saturating_add(1);
        }
        Ok(rows)
    }

    fn is_whole(&self) -> bool {
        self.open.is_empty()
    }
}

impl Fold for Partition {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<JobsEvent>().map_err(|error| error.to_string())?;
        let subject = Subject::from_bytes(&record.record.subject).map_err(|error| error.to_string())?;
        self.evolve(record.record.at, record.record.input.as_ref(), &subject, &events).map_err(|error| error.to_string())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.changes().map_err(|error| error.to_string())
    }
}

/// A lane's partition; the lane itself is known from its first event.
#[derive(Default)]
pub struct LaneFold(pub Option<Lane>);

impl LaneFold {
    /// The fold as it was stored, of whichever lane it is.
    ///
    /// # Errors
    /// When a row is of another version.
    pub fn load(view: &PartitionView) -> Result<Self, String> {
        let rows: Vec<_> = view.all_rows().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let rows = rows.iter().map(|(table, key, value)| (*table, &key[..], &value[..]));
        Lane::of_rows(rows).map(Self).map_err(|error| error.to_string())
    }
}

impl Fold for LaneFold {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<LanesEvent>().map_err(|error| error.to_string())?;
        if self.0.is_none()
            && let Some(LanesEvent::LaneOpened(opened)) = events.first()
        {
            self.0 = Some(Lane::new(opened.clone()));
        }
        let lane = self.0.as_mut().ok_or("the partition does not begin with LaneOpened")?;
        lane.evolve(record.record.at, &events).map_err(|error| error.to_string())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.0.as_mut().map_or(Ok(Vec::new()), |lane| lane.changes().map_err(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use acurast_events::bytes::{Bytes, EventId, RecordHash, WriterId};
    use acurast_events::job_id::MultiOrigin;
    use acurast_events::record::Record;
    use acurast_events::source::{Acknowledged, FactMeta};
    use acurast_events::units::{Count, Offset, Sequence, Timestamp};
    use acurast_relayer_store::{Identity, PartitionStore, Store};

    fn at() -> acurast_events::topics::TopicPartition {
        acurast_events::topics::TopicName::new("acurast.source.polkadot-1.v1").partition(0)
    }

    fn fact(number: u128) -> SourceEvent {
        SourceEvent::from(Acknowledged {
            meta: FactMeta { id: EventId([1; 32]), index: 0, extrinsic: None },
            job: JobId { origin: MultiOrigin::Acurast([7; 32]), number },
            processor: ProcessorId([9; 32]),
            slot: None,
            keys: Vec::new(),
            registration: None,
        })
    }

    fn seal(number: u64) -> SourceEvent {
        SourceEvent::from(BlockSealed {
            first: BlockNumber(number),
            number: BlockNumber(number),
            hash: BlockHash([number as u8; 32]),
            parent: BlockHash::ZERO,
            timestamp: Timestamp(number),
            fact_count: Count(0),
            facts_root: acurast_events::source::facts_root(&[]),
            spec_version: None,
        })
    }

    /// Three blocks of several records each; the second is begun in one term and written in the next.
    fn records() -> Vec<AcceptedRecord> {
        let events = [
            (1, vec![fact(1)]),
            (1, vec![fact(2), seal(1)]),
            (1, vec![fact(3)]),
            (1, vec![fact(4)]),
            (2, vec![fact(5)]),
            (2, vec![fact(3), fact(4)]),
            (2, vec![seal(2), fact(6)]),
            (2, vec![seal(3)]),
        ];
        let mut previous = RecordHash::ZERO;
        let chained = (0u64..).zip(events).map(|(sequence, (term, events))| {
            let record = Record {
                term: Term(term),
                writer: WriterId([term as u8; 16]),
                sequence: Sequence(sequence),
                previous,
                at: Timestamp(0),
                input: None,
                subject: Bytes(b"polkadot:1".to_vec()),
                traceparent: None,
                events: events.iter().map(|event| Bytes(event.encode())).collect(),
            };
            previous = RecordHash([sequence as u8 + 1; 32]);
            AcceptedRecord { offset: Offset(sequence), hash: previous, record }
        });
        chained.collect()
    }

    fn commit(store: &mut PartitionStore, state: &mut SourceFold, records: &[AcceptedRecord]) {
        let rows = crate::fold::fold_all(&at(), state, records).unwrap();
        store.commit(records, rows, state.is_whole()).unwrap();
    }

    #[test]
    fn a_source_that_is_folded_in_any_parts_with_a_restart_after_each_has_the_same_rows_at_every_record() {
        let identity = Identity { genesis: acurast_events::bytes::Genesis([7; 32]), prefix: "acurast.".into() };
        let records = records();
        for end in 1..=records.len() {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), &identity, SCHEMA).unwrap();
            let mut at_once = store.partition(&at()).unwrap();
            commit(&mut at_once, &mut SourceFold::default(), &records[..end]);
            for split in 1..end {
                let folder = tempfile::tempdir().unwrap();
                let store = Store::open(folder.path(), &identity, SCHEMA).unwrap();
                let mut parts = store.partition(&at()).unwrap();
                for part in [&records[..split], &records[split..end]] {
                    // What a restart knows is what the rows say.
                    let mut state = SourceFold::load(&parts).unwrap();
                    commit(&mut parts, &mut state, part);
                }
                assert_eq!(parts.current_digest(), at_once.current_digest(), "{end} records, restarted after {split}");
                assert_eq!(SourceFold::load(&parts).unwrap().known().len(), SourceFold::load(&at_once).unwrap().known().len());
            }
        }
        let mut state = SourceFold::default();
        let whole: Vec<_> = records.iter().map(|record| (state.fold(record).unwrap(), state.is_whole()).1).collect();
        assert_eq!(whole, [false, true, false, false, false, false, false, true]);
        assert_eq!(state.known().len(), 6, "facts 3 and 4 came twice and count once");
    }
}
