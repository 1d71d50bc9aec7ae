//! What a proxy does to the requests that pass it.

use super::fault::{Fault, UnknownFault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the node behind the proxy seems to be as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As it is, but for single faults.
    Sound,
    /// It answers, but its head stands where it was.
    Frozen,
    /// Every connection is closed.
    Dead,
    /// It takes requests and answers none.
    Silent,
    /// Its answers have the right form and are false: effects and transactions denied, sends swallowed, other hashes.
    Lying,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sound, Self::Frozen, Self::Dead, Self::Silent, Self::Lying];

    /// Its name in options, requests and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Frozen => "frozen",
            Self::Dead => "dead",
            Self::Silent => "silent",
            Self::Lying => "lying",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = PlanError;
    fn from_str(text: &str) -> Result<Self, PlanError> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| PlanError::Mode(text.to_owned()))
    }
}

/// Why a plan can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than all requests.
    #[error("a share of {0} ‰ is more than all requests; give 0 to 1000")]
    Permille(u16),
    /// No such fault.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// No such mode.
    #[error("no mode is called {0:?}; there are {modes}", modes = Mode::ALL.map(Mode::name).join(", "))]
    Mode(String),
}

/// Which requests meet which faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultPlan {
    /// Where the faults come from; the same seed, the same faults.
    pub seed: u64,
    /// Share of the requests that meet a fault, thousandths.
    pub faults_permille: u16,
    /// The faults that there are.
    pub faults: BTreeSet<Fault>,
    /// The methods whose requests may meet one; empty: all.
    pub methods: BTreeSet<String>,
    /// A delay is shorter than this, ms.
    pub delay_ms_max: u64,
    /// What a refused request is told to wait, seconds.
    pub retry_after_seconds: u64,
    /// How the node seems to be as a whole.
    pub mode: Mode,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            seed: 0,
            faults_permille: 0,
            faults: Fault::ALL.into(),
            methods: BTreeSet::new(),
            delay_ms_max: 300,
            retry_after_seconds: 1,
            mode: Mode::Sound,
        }
    }
}

/// A change of the plan while the proxy runs; what is absent stays. The JSON of `POST /faults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanChange {
    /// Share of the requests that meet a fault, thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults_permille: Option<u16>,
    /// Names of faults, or of kinds of them (`all`, `drop`, `corrupt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<String>>,
    /// The methods whose requests may meet one; empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<BTreeSet<String>>,
    /// A delay is shorter than this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms_max: Option<u64>,
    /// What a refused request is told to wait, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// How the node seems to be as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl From<Mode> for PlanChange {
    fn from(mode: Mode) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }
}

impl FaultPlan {
    /// The plan with a change made.
    ///
    /// # Errors
    /// When the change names no fault, or more than all requests; then nothing of it holds.
    pub fn changed(&self, change: PlanChange) -> Result<Self, PlanError> {
        let mut plan = self.clone();
        if let Some(words) = change.faults {
            plan.faults = BTreeSet::new();
            for word in words {
                plan.faults.extend(Fault::named(&word)?);
            }
        }
        plan.faults_permille = change.faults_permille.unwrap_or(plan.faults_permille);
        plan.methods = change.methods.unwrap_or(plan.methods);
        plan.delay_ms_max = change.delay_ms_max.unwrap_or(plan.delay_ms_max);
        plan.retry_after_seconds = change.retry_after_seconds.unwrap_or(plan.retry_after_seconds);
        plan.mode = change.mode.unwrap_or(plan.mode);
        plan.checked()
    }

    /// The plan, if it can be carried out.
    ///
    /// # Errors
    /// When the share is more than all requests.
    pub fn checked(self) -> Result<Self, PlanError> {
        if self.faults_permille > 1_000 { Err(PlanError::Permille(self.faults_permille)) } else { Ok(self) }
    }

    /// The faults that a request with this method can meet.
    pub(super) fn faults_of(&self, method: &str) -> Vec<Fault> {
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return Vec::new();
        }
        self.faults.iter().copied().filter(|fault| fault.applies_to(method)).collect()
    }
}
