//! What the client library calls back: logs, errors, and the question for a fresh token.

use crate::config::SaslConfig;
use crate::token::TokenSource;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How one journal's clients show who they are, and what the brokers last held against it.
#[derive(Clone)]
pub(crate) struct Access {
    tokens: Option<TokenSource>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Access {
    pub(crate) fn new(sasl: Option<&SaslConfig>) -> Self {
        Self { tokens: TokenSource::of(sasl), refused: Arc::default() }
    }

    /// The brokers answered.
    pub(crate) fn granted(&self) {
        *self.refused() = None;
    }

    fn deny(&self, why: String) {
        *self.refused() = Some(why);
    }

    /// Why a call failed, with what keeps us out if that is known. The library itself only says that nobody answers.
    pub(crate) fn explain(&self, reason: String) -> String {
        match self.refused().as_deref() {
            None => reason,
            Some(why) => format!("{reason}; this relayer isn't let in: {why}"),
        }
    }

    // No code panics while it holds the lock.
    fn refused(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The context of every client.
pub(crate) struct Context {
    pub(crate) access: Access,
}

impl ClientContext for Context {
    // Asked only where SASL OAUTHBEARER is configured.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // One property is set on clients that it isn't meant for, on purpose.
        let level = if facility == "CONFWARN" { RDKafkaLogLevel::Debug } else { level };
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Asked for, and an answer.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)) {
            // A token that can't be had is told better by whoever asked for it.
            let mut refused = self.access.refused();
            if refused.is_none() {
                *refused = Some(format!("{reason}; check journal.kafka.sasl and what the brokers know of this user"));
            }
        }
        // The library goes on by itself; what doesn't get better comes back as the outcome of an append or read.
        tracing::warn!(%error, "{reason}");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.access.tokens.as_ref().ok_or("OAUTHBEARER is not configured")?;
        tokens.fetch().map_err(|error| {
            tracing::error!(%error, "no token for the Kafka brokers");
            self.access.deny(error.to_string());
            error.into()
        })
    }
}

impl ConsumerContext for Context {}
