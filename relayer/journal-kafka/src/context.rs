//! What the client library calls back: logs, errors, and the question for a fresh token.

use crate::token::TokenSource;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use std::error::Error;

/// The context of every client.
pub(crate) struct Context {
    pub(crate) tokens: Option<TokenSource>,
}

impl ClientContext for Context {
    // Asked only where SASL OAUTHBEARER is configured.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The library goes on by itself; what doesn't get better comes back as the outcome of an append or read.
        tracing::warn!(%error, "{reason}");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.as_ref().ok_or("OAUTHBEARER is not configured")?;
        tokens.fetch().map_err(|error| {
            tracing::error!(%error, "no token for the Kafka brokers");
            error.into()
        })
    }
}

impl ConsumerContext for Context {}
