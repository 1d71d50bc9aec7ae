//! `evolve`: what one event does to a job, the account that pays for it, or a lane's book.
//!
//! Decisions are made on a [`Scope`], a copy of what one record may change, by folding each event into it as it is
//! emitted; the very same fold is applied when the record was read back. So an event is validated twice, when it is
//! written and when it is folded, and a decision can't see another state than the one that it makes.

use crate::account::{Account, Closing, LaneBook};
use crate::fold_job;
use crate::input::Subject;
use crate::job::{Job, Ticket};
use crate::ledger::LedgerError;
use crate::partition::Partition;
use acurast_events::amount::Amount;
use acurast_events::bytes::EscrowId;
use acurast_events::jobs as e;
use acurast_events::jobs::{Book, JobsEvent, LedgerAccountKind, PostingReason};
use acurast_events::units::Count;

/// Why an event can't be folded: journal and code disagree. Stop, and compare versions; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvolveError {
    /// The event contradicts those before it.
    #[error("{subject}: {event} can't follow what the journal says so far: {reason}; was it written by another version?")]
    Contradiction {
        /// Whom it concerns.
        subject: String,
        /// The event.
        event: &'static str,
        /// What it contradicts.
        reason: &'static str,
    },
    /// Money would be overdrawn or appear from nowhere.
    #[error("{subject}: {source}")]
    Ledger {
        /// Whom it concerns.
        subject: String,
        /// What is wrong.
        source: LedgerError,
    },
}

/// What one record may change: copies, so that a refused record changes nothing.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) partition: &'a Partition,
    pub(crate) subject: Subject,
    pub(crate) job: Option<Job>,
    pub(crate) account: Option<Account>,
    pub(crate) lane: Option<LaneBook>,
    folded: u32,
}

pub(crate) type Folded = Result<(), &'static str>;

const NO_JOB: &str = "the job is not open";
pub(crate) const NO_ASSIGNMENT: &str = "the processor has no assignment";
pub(crate) const NOT_SETTLING: &str = "the assignment is only tracked";
pub(crate) const NO_SETTLEMENT: &str = "there is no such settlement";
pub(crate) const NO_EXECUTION: &str = "the execution left no trace";
const NO_ACCOUNT: &str = "the account is not open";

impl<'a> Scope<'a> {
    pub(crate) fn new(partition: &'a Partition, subject: Subject) -> Self {
        let (mut job, mut account, mut lane) = (None, None, None);
        match &subject {
            Subject::Job(key) => job = partition.job(key).cloned(),
            Subject::Account(id) => account = partition.account(id).cloned(),
            Subject::Lane(id) => lane = partition.lane(id).cloned(),
            Subject::Partition => {}
        }
        Self { partition, subject, job, account, lane, folded: 0 }
    }

    /// The account that pays for the job, once its destination is known and the account is open.
    pub(crate) fn paying_account(&mut self) -> Option<&mut Account> {
        if self.account.is_none()
            && let Some(destination) = self.job.as_ref().and_then(|job| job.destination.as_ref())
        {
            self.account = self.partition.account(&destination.escrow_id).cloned();
        }
        self.account.as_mut()
    }

    /// Folds one event.
    ///
    /// # Errors
    /// When it contradicts what is known, or the ledger refuses it; the scope is then to be thrown away.
    pub(crate) fn apply(&mut self, event: &JobsEvent) -> Result<(), EvolveError> {
        // Written out only where something is wrong: this runs for every event, twice.
        let subject = self.subject.clone();
        let contradiction = |reason| EvolveError::Contradiction { subject: subject.to_string(), event: event.name(), reason };
        let refused = |source| EvolveError::Ledger { subject: subject.to_string(), source };
        self.folded = self.folded.saturating_add(1);
        match event {
            JobsEvent::Progress(_) | JobsEvent::StateDigest(_) => Ok(()),
            JobsEvent::AccountOpened(event) => self.account_opened(event),
            JobsEvent::AccountClosing(event) => self.account_closing(event),
            JobsEvent::AccountRefunded(event) => self.account_refunded(event),
            JobsEvent::Posted(event) => self.posted(event).map_err(refused)?,
            JobsEvent::LedgerDiffers(event) => self.expect_account(&event.escrow_id).map(|_| ()),
            JobsEvent::SettlementReversed(event) => self.expect_account(&event.escrow_id).map(|_| ()),
            // Dead letters are rows of their own, see `letters`.
            JobsEvent::InputQuarantined(_) | JobsEvent::DeadLetterResolved(_) | JobsEvent::CommandRefused(_) => match self.subject {
                Subject::Partition => Ok(()),
                Subject::Job(_) | Subject::Account(_) | Subject::Lane(_) => {
                    Err("it is the partition's own, and the record's subject is not")
                }
            },
            JobsEvent::JobOpened(event) => self.job_opened(event),
            JobsEvent::JobClosed(_) => {
                let key = self.job_closed().map_err(contradiction)?;
                if let Some(account) = self.paying_account() {
                    account.ledger.close_job(key).map_err(refused)?;
                }
                Ok(())
            }
            of_a_job => {
                let ticket = Ticket(self.partition.records(), self.folded);
                match &mut self.job {
                    Some(job) if !job.closed => fold_job::event(job, of_a_job, ticket),
                    Some(_) | None => Err(NO_JOB),
                }
            }
        }
        .map_err(contradiction)
    }

    fn expect_account(&mut self, id: &EscrowId) -> Result<&mut Account, &'static str> {
        self.paying_account().filter(|account| account.escrow_id == *id).ok_or(NO_ACCOUNT)
    }

    fn account_opened(&mut self, event: &e::AccountOpened) -> Folded {
        if self.account.is_some() || self.subject != Subject::Account(event.escrow_id) {
            return Err("the account exists, or is not the record's subject");
        }
        self.account = Some(Account::open(event));
        Ok(())
    }

    fn account_closing(&mut self, event: &e::AccountClosing) -> Folded {
        let account = self.expect_account(&event.escrow_id)?;
        account.closing = Some(Closing { refundable_at: event.refundable_at });
        Ok(())
    }

    fn account_refunded(&mut self, event: &e::AccountRefunded) -> Folded {
        let account = self.expect_account(&event.escrow_id)?;
        account.refunded = true;
        account.owed = account.owed.checked_add(event.amount).ok_or("the refunds leave 128 bits")?;
        Ok(())
    }

    fn job_opened(&mut self, event: &e::JobOpened) -> Folded {
        let Subject::Job(key) = self.subject else { return Err("the record's subject is no job") };
        if self.job.is_some() {
            return Err("the job is open already");
        }
        self.job = Some(Job {
            id: event.job.clone(),
            key,
            owner: event.owner,
            registration: event.registration.clone(),
            opened_by: event.opened_by,
            opened: event.block.clone(),
            matched: None,
            assigned: None,
            removed: None,
            done: None,
            closed: false,
            rule: None,
            destination: None,
            untracked_reason: String::new(),
            matches: Default::default(),
            assignments: Default::default(),
            acknowledged: Count(0),
            reported_last: Count(0),
            start_delay_max: None,
            executions_ended: Count(0),
            settlements: Default::default(),
            money: Default::default(),
            ledger: Default::default(),
            heard: Default::default(),
            executions: Default::default(),
            touched: Default::default(),
            retired: Default::default(),
        });
        Ok(())
    }

    fn job_closed(&mut self) -> Result<acurast_events::bytes::JobKey, &'static str> {
        let job = self.job.as_mut().filter(|job| !job.closed).ok_or(NO_JOB)?;
        if !job.can_close() {
            return Err("it is not DONE, or an execution or a settlement of it is unresolved");
        }
        if job.money.reserved != Amount::ZERO {
            return Err("something is still reserved for it");
        }
        job.closed = true;
        Ok(job.key)
    }

    /// Moves money in the shard that each entry belongs to, and in the job's running sums.
    fn posted(&mut self, event: &e::Posted) -> Result<Folded, LedgerError> {
        for entry in &event.entries {
            match entry.book {
                Book::Escrow => {
                    let Some(id) = entry.debit.escrow_id.filter(|id| entry.credit.escrow_id == Some(*id)) else {
                        return Ok(Err("an entry of the escrow book names no account, or two"));
                    };
                    let Ok(account) = self.expect_account(&id) else { return Ok(Err(NO_ACCOUNT)) };
                    account.ledger.post(event.reason, entry)?;
                    if event.reason == PostingReason::Refunded {
                        let Some(owed) = account.owed.checked_sub(entry.amount) else {
                            return Ok(Err("more is refunded than was paid back"));
                        };
                        account.owed = owed;
                    }
                }
                Book::Signer => match (&self.subject, &mut self.job) {
                    (Subject::Job(_), Some(job)) => job.ledger.post(event.reason, entry)?,
                    (Subject::Lane(lane), _) => {
                        self.lane.get_or_insert_with(|| LaneBook::new(lane.clone())).ledger.post(event.reason, entry)?;
                    }
                    (Subject::Job(_), None) | (Subject::Account(_) | Subject::Partition, _) => return Ok(Err(NO_JOB)),
                },
            }
            if let Some(job) = &mut self.job
                && let Err(reason) = job_money(job, event, entry)
            {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }
}

fn plus(sum: &mut Amount, amount: Amount) -> Folded {
    *sum = sum.checked_add(amount).ok_or("a sum leaves 128 bits")?;
    Ok(())
}

fn minus(sum: &mut Amount, amount: Amount) -> Folded {
    *sum = sum.checked_sub(amount).ok_or("a settlement gives more than was reserved for it")?;
    Ok(())
}

/// Keeps what is reserved per settlement and per job in step with the ledger.
fn job_money(job: &mut Job, event: &e::Posted, entry: &e::Posting) -> Folded {
    let from_reserve = entry.credit.kind == LedgerAccountKind::Reserved;
    let to_reserve = entry.debit.kind == LedgerAccountKind::Reserved;
    if from_reserve || to_reserve {
        let id = event.settlement_id.ok_or("a reservation names no settlement")?;
        let place = *job.settlements.get(&id).ok_or(NO_SETTLEMENT)?;
        let settlement = job.settlement_mut(&place).ok_or(NO_SETTLEMENT)?;
        if to_reserve {
            plus(&mut settlement.reserved, entry.amount)?;
            plus(&mut job.money.reserved, entry.amount)?;
            plus(&mut job.money.reserved_ever, entry.amount)?;
        } else {
            minus(&mut settlement.reserved, entry.amount)?;
            minus(&mut job.money.reserved, entry.amount)?;
        }
    }
    match event.reason {
        PostingReason::Charged => plus(&mut job.money.spent, entry.amount),
        PostingReason::Cost => plus(&mut job.money.cost, entry.amount),
        // A reversal is a record of the account: the receipt of a job that is over is taken back, not rewritten.
        PostingReason::Locked
        | PostingReason::Reserved
        | PostingReason::Released
        | PostingReason::Refunded
        | PostingReason::Margin
        | PostingReason::Reversed => Ok(()),
    }
}
