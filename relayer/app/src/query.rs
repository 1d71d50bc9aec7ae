//! Questions to a settle loop. It answers between batches, so what it says is what was read back from the journal.

use crate::settle::Announce;
use acurast_events::bytes::{EventId, JobKey, OwnerKey, PayloadHash, SettlementId, TxHash};
use acurast_events::outputs::Output;
use acurast_events::units::Offset;
use acurast_relayer_core::{CommandResult, JobView, LetterView};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

/// What the API answers about an accepted output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedAnswer {
    /// The settlement, what the processor may report.
    pub settlement_id: SettlementId,
    /// keccak of the accepted payload.
    pub payload_hash: PayloadHash,
    /// `accepted`, or `included` once its transaction is in a block.
    pub status: &'static str,
    /// The delivering transaction, once it is included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<TxHash>,
}

/// What settle says of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputVerdict {
    /// No open assignment has this id here.
    UnknownAssignment,
    /// It can be taken: append it for this owner.
    Takes {
        /// Owner of the job.
        owner: OwnerKey,
    },
    /// Exactly this output was accepted.
    Accepted(AcceptedAnswer),
    /// Another output of this execution was accepted; this one is signed as well.
    Differs {
        /// Owner of the job.
        owner: OwnerKey,
        /// Words for the sender.
        reason: String,
    },
    /// The signature does not hold.
    BadSignature(String),
    /// It is refused for good.
    Refused {
        /// Words for the sender.
        reason: String,
    },
}

/// A question, with where its answer goes.
pub enum Query {
    /// Whether the loop lives.
    Ping(oneshot::Sender<()>),
    /// What about this output?
    Check(Output, oneshot::Sender<OutputVerdict>),
    /// Jobs after a key, at most so many and one more, in order of their keys.
    Jobs(Option<JobKey>, usize, oneshot::Sender<Vec<(JobKey, JobView)>>),
    /// One job.
    Job(JobKey, oneshot::Sender<Option<JobView>>),
    /// Dead letters in order of their ids.
    Letters {
        /// Also those that ended.
        all: bool,
        /// Only those behind this one.
        after: Option<EventId>,
        /// At most so many and one more.
        limit: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<LetterView>>,
    },
    /// One dead letter.
    Letter(EventId, oneshot::Sender<Option<LetterView>>),
    /// What a command came to.
    Command(EventId, oneshot::Sender<Option<CommandResult>>),
}

/// The settle loop is gone: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relayer is stopping")]
pub struct QueryError;

/// Asks the settle loop of one partition.
#[derive(Clone)]
pub struct SettleHandle {
    partition: u32,
    queries: mpsc::Sender<Query>,
    outputs: watch::Receiver<Offset>,
    control: watch::Receiver<Offset>,
}

impl SettleHandle {
    /// A handle, and the two ends that the loop keeps: questions to answer, and the next positions to announce.
    pub fn new(partition: u32) -> (Self, mpsc::Receiver<Query>, Announce) {
        let (queries, receiver) = mpsc::channel(256);
        let (announce, outputs, control) = Announce::new();
        (Self { partition, queries, outputs, control }, receiver, announce)
    }

    /// The partition of `jobs.v1`.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Query) -> Result<T, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.queries.send(question(reply)).await.map_err(|_| QueryError)?;
        answer.await.map_err(|_| QueryError)
    }

    /// Whether the loop lives.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn ping(&self) -> Result<(), QueryError> {
        self.ask(Query::Ping).await
    }

    /// What settle says of an output.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn check(&self, output: Output) -> Result<OutputVerdict, QueryError> {
        self.ask(|reply| Query::Check(output, reply)).await
    }

    /// Jobs after `after`, at most `limit` and one more.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn jobs(&self, after: Option<JobKey>, limit: usize) -> Result<Vec<(JobKey, JobView)>, QueryError> {
        self.ask(|reply| Query::Jobs(after, limit, reply)).await
    }

    /// One job, open or closed.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn job(&self, key: JobKey) -> Result<Option<JobView>, QueryError> {
        self.ask(|reply| Query::Job(key, reply)).await
    }

    /// Dead letters after `after`, at most `limit` and one more; `all` with those that ended.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn letters(&self, all: bool, after: Option<EventId>, limit: usize) -> Result<Vec<LetterView>, QueryError> {
        self.ask(|reply| Query::Letters { all, after, limit, reply }).await
    }

    /// One dead letter.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn letter(&self, id: EventId) -> Result<Option<LetterView>, QueryError> {
        self.ask(|reply| Query::Letter(id, reply)).await
    }

    /// What a command came to.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn command(&self, id: EventId) -> Result<Option<CommandResult>, QueryError> {
        self.ask(|reply| Query::Command(id, reply)).await
    }

    /// Waits until the command at `offset` was decided and what it caused was read back.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn control_taken(&self, offset: Offset) -> Result<(), QueryError> {
        self.control.clone().wait_for(|next| *next > offset).await.map(|_| ()).map_err(|_| QueryError)
    }

    /// Waits until the output at `offset` was decided and what it caused was read back.
    ///
    /// # Errors
    /// When the loop is gone.
    pub async fn outputs_taken(&self, offset: Offset) -> Result<(), QueryError> {
        self.outputs.clone().wait_for(|next| *next > offset).await.map(|_| ()).map_err(|_| QueryError)
    }
}
