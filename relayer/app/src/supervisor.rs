//! Runs the relayer's tasks as one: when any of them ends, all end, and the process says why (R12).

use std::future::Future;
use std::pin::Pin;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why the relayer stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopReason {
    /// A task ended with an error.
    #[error("{task}: {reason}")]
    Failed {
        /// The task.
        task: String,
        /// Its error.
        reason: String,
    },
    /// A task ended although nobody asked it to.
    #[error("{0} ended by itself; this is a defect, please report it")]
    Ended(String),
    /// A task panicked.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

type Task = Pin<Box<dyn Future<Output = (String, Result<(), String>)> + Send>>;

/// A group of tasks that live and die together. None runs before [`Supervisor::run`].
pub struct Supervisor {
    tasks: Vec<Task>,
    stop: CancellationToken,
}

impl Supervisor {
    /// An empty group that ends when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { tasks: Vec::new(), stop }
    }

    /// Adds a task. It is expected to return `Ok` only after `stop` was cancelled.
    pub fn spawn<E: std::fmt::Display>(&mut self, name: impl Into<String>, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        let name = name.into();
        self.tasks.push(Box::pin(async move { (name, task.await.map_err(|error| error.to_string())) }));
    }

    /// Waits until the first task ends or `stop` is cancelled, then ends all the others, each at its next safe point.
    ///
    /// # Errors
    /// What made the first task end, unless the stop was asked for.
    pub async fn run(self) -> Result<(), StopReason> {
        let mut first = Ok(());
        let mut running: JoinSet<_> = self.tasks.into_iter().collect();
        while let Some(ended) = running.join_next().await {
            let asked = self.stop.is_cancelled();
            let outcome = match ended {
                Ok((_, Ok(()))) if asked => Ok(()),
                Ok((task, Ok(()))) => Err(StopReason::Ended(task)),
                Ok((task, Err(reason))) => Err(StopReason::Failed { task, reason }),
                Err(panic) => Err(StopReason::Panicked(panic.to_string())),
            };
            if let Err(reason) = &outcome {
                tracing::error!(%reason, "a task ended; stopping the relayer");
            }
            if first.is_ok() {
                first = outcome;
            }
            self.stop.cancel();
        }
        first
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn any_task_that_ends_ends_all_the_others_and_says_why() {
        let stop = CancellationToken::new();
        let mut group = Supervisor::new(stop.clone());
        let patient = stop.clone();
        group.spawn("patient", async move {
            patient.cancelled().await;
            Ok::<(), String>(())
        });
        group.spawn("broken", async { Err("no node".to_owned()) });
        let reason = group.run().await.unwrap_err().to_string();
        assert_eq!(reason, "broken: no node");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_just_returns_is_an_error() {
        let mut group = Supervisor::new(CancellationToken::new());
        group.spawn("quitter", async { Ok::<(), String>(()) });
        assert!(matches!(group.run().await, Err(StopReason::Ended(task)) if task == "quitter"));
    }

    #[tokio::test]
    async fn a_stop_that_was_asked_for_is_no_error() {
        let stop = CancellationToken::new();
        let mut group = Supervisor::new(stop.clone());
        let patient = stop.clone();
        group.spawn("patient", async move {
            patient.cancelled().await;
            Ok::<(), String>(())
        });
        stop.cancel();
        assert!(group.run().await.is_ok());
    }
}
