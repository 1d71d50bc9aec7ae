//! How to reach the brokers, and what topics must be like. Secrets stand here by reference only (R14).

use crate::secret::SecretReference;
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Bytes that a broker's record batch has beyond key, value and attributes, with room to spare.
const BATCH_OVERHEAD_BYTES: usize = 256 << 10;

/// The brokers and how to talk to them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of some brokers; the others are learnt from them.
    pub brokers: Vec<String>,
    /// TLS; absent: none.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// SASL; absent: none.
    #[serde(default)]
    pub sasl: Option<SaslConfig>,
    /// What topics must be like.
    #[serde(default)]
    pub topics: TopicSettings,
    /// How several replicas share the partitions out.
    #[serde(default)]
    pub group: GroupConfig,
    /// Whether each append to a derived topic (receipts, reputation, dead letters, checkpoints) is a transaction, so that subscribers
    /// with `isolation.level=read_committed` see it whole or not at all. The other topics never take part. `on` needs the right to
    /// write transactional ids that begin with the topic prefix.
    #[serde(default)]
    pub transactions: Transactions,
    /// How long an append may stay unacknowledged before its outcome counts as unknown, in milliseconds.
    #[serde(default = "default_delivery_timeout_ms")]
    pub delivery_timeout_ms: u64,
    /// How long a read waits for the brokers before it fails, in milliseconds.
    #[serde(default = "default_read_timeout_ms")]
    pub read_timeout_ms: u64,
}

fn default_delivery_timeout_ms() -> u64 {
    30_000
}

fn default_read_timeout_ms() -> u64 {
    30_000
}

/// Whether derived topics are written in transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transactions {
    /// Never.
    #[default]
    Off,
    /// One per append.
    On,
}

/// TLS to the brokers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// File of the certificate authorities (PEM) that the brokers' certificates come from; absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// File of our certificate (PEM), for brokers that ask for one.
    pub certificate_file: Option<PathBuf>,
    /// File of its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// The key file's password, when it has one.
    pub key_password: Option<SecretReference>,
}

/// SASL, by mechanism. Passwords and tokens go over the wire as the mechanism says; use it with TLS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "mechanism", rename_all = "kebab-case")]
pub enum SaslConfig {
    /// SCRAM-SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256 {
        /// User.
        username: String,
        /// Password.
        password: SecretReference,
    },
    /// SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512 {
        /// User.
        username: String,
        /// Password.
        password: SecretReference,
    },
    /// OAUTHBEARER: exactly one of `token` and `oidc`.
    Oauthbearer {
        /// A token that somebody else keeps fresh; read anew when it runs out.
        #[serde(default)]
        token: Option<SecretReference>,
        /// Where to get tokens.
        #[serde(default)]
        oidc: Option<OidcConfig>,
    },
}

/// The client-credentials grant of OpenID Connect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The token endpoint.
    #[schemars(with = "String")]
    pub token_url: Url,
    /// Client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretReference,
    /// Scopes, separated by spaces.
    #[serde(default)]
    pub scope: Option<String>,
}

/// What topics must be like. The number of partitions is in `[journal]`, alike for all back ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicSettings {
    /// Replicas of each partition.
    pub replication: u16,
    /// Replicas that must have a record before it is acknowledged.
    pub min_in_sync: u16,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { replication: 3, min_in_sync: 2 }
    }
}

/// The consumer group by which several replicas share the partitions out. It assigns work and shows lag; what a replica may write
/// is decided by its claims in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupConfig {
    /// Name of the group, alike for all replicas; absent: the topic prefix followed by `relayer`.
    pub id: Option<String>,
    /// A name of this replica's own that stays the same over restarts (static membership): its partitions wait for it for
    /// `session_timeout_ms`, also when it stops in an orderly way. Absent: when it stops, the others take over at once.
    pub instance: Option<String>,
    /// How long a replica may be out of the brokers' sight before its partitions go to the others, in milliseconds. The brokers
    /// have bounds of their own (6000 to 1800000 by default: `group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
    pub session_timeout_ms: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self { id: None, instance: None, session_timeout_ms: 10_000 }
    }
}

impl GroupConfig {
    /// How often the replica shows itself: several times within a session, so that one lost request costs nothing.
    pub(crate) fn heartbeat_ms(&self) -> u64 {
        (self.session_timeout_ms / 4).clamp(100, 3_000)
    }
}

impl TopicSettings {
    /// The topic's configuration that matters, by name.
    pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "delete".into()),
            ("retention.ms", "-1".into()),
            ("retention.bytes", "-1".into()),
            ("min.insync.replicas", self.min_in_sync.to_string()),
            ("max.message.bytes", message_bytes_max().to_string()),
            ("unclean.leader.election.enable", "false".into()),
        ]
    }
}

/// Largest batch of records that client and broker must take, bytes.
pub(crate) fn message_bytes_max() -> usize {
    acurast_relayer_journal::MAX_RECORD_BYTES.saturating_add(BATCH_OVERHEAD_BYTES)
}

/// Why the configuration makes no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value doesn't make sense.
    #[error("journal.kafka.{key}: {reason}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The client library refuses it.
    #[error("the Kafka client can't be made: {0}")]
    Client(String),
}

impl KafkaConfig {
    /// Brokers without TLS and SASL, everything else by default.
    pub fn plain(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            tls: None,
            sasl: None,
            topics: TopicSettings::default(),
            group: GroupConfig::default(),
            transactions: Transactions::default(),
            delivery_timeout_ms: default_delivery_timeout_ms(),
            read_timeout_ms: default_read_timeout_ms(),
        }
    }

    /// Whether the values make sense together; reads no secret and reaches nothing.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if self.brokers.is_empty() || self.brokers.iter().any(|broker| !is_address(broker)) {
            return wrong("brokers", "needs at least one `host:port`");
        }
        if !(1_000..=600_000).contains(&self.delivery_timeout_ms) {
            return wrong("delivery_timeout_ms", "must be 1000 to 600000");
        }
        if !(1_000..=600_000).contains(&self.read_timeout_ms) {
            return wrong("read_timeout_ms", "must be 1000 to 600000");
        }
        if self.topics.min_in_sync == 0 || self.topics.min_in_sync > self.topics.replication {
            return wrong("topics.min_in_sync", "must be 1 to topics.replication");
        }
        if !(1_000..=300_000).contains(&self.group.session_timeout_ms) {
            return wrong("group.session_timeout_ms", "must be 1000 to 300000");
        }
        let names = [("group.id", &self.group.id), ("group.instance", &self.group.instance)];
        if let Some((key, _)) = names.into_iter().find(|(_, name)| name.as_ref().is_some_and(|name| !is_name(name))) {
            return wrong(key, "must be 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'");
        }
        if let Some(tls) = &self.tls
            && tls.certificate_file.is_some() != tls.key_file.is_some()
        {
            return wrong("tls", "certificate_file and key_file belong together");
        }
        if let Some(SaslConfig::Oauthbearer { token, oidc }) = &self.sasl
            && token.is_some() == oidc.is_some()
        {
            return wrong("sasl", "exactly one of `token` and `oidc` must be set");
        }
        Ok(())
    }

    pub(crate) fn delivery_timeout(&self) -> Duration {
        Duration::from_millis(self.delivery_timeout_ms)
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    /// What all clients have in common, with the secrets in it.
    pub(crate) fn client(&self) -> Result<ClientConfig, ConfigError> {
        self.check()?;
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", "acurast-relayer")
            // Reading or writing never makes a topic, whatever the brokers allow.
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            set_tls(&mut client, tls)?;
        }
        match &self.sasl {
            None => {}
            Some(SaslConfig::ScramSha256 { username, password }) => set_scram(&mut client, "SCRAM-SHA-256", username, password)?,
            Some(SaslConfig::ScramSha512 { username, password }) => set_scram(&mut client, "SCRAM-SHA-512", username, password)?,
            Some(SaslConfig::Oauthbearer { .. }) => {
                client.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
        Ok(client)
    }
}

fn set_tls(client: &mut ClientConfig, tls: &TlsConfig) -> Result<(), ConfigError> {
    let files =
        [("ssl.ca.location", &tls.ca_file), ("ssl.certificate.location", &tls.certificate_file), ("ssl.key.location", &tls.key_file)];
    for (name, file) in files {
        if let Some(file) = file {
            client.set(name, file.to_string_lossy());
        }
    }
    if let Some(password) = &tls.key_password {
        let password = password.read().map_err(|reason| ConfigError::Value { key: "tls.key_password", reason })?;
        client.set("ssl.key.password", password.as_str());
    }
    Ok(())
}

fn set_scram(client: &mut ClientConfig, mechanism: &str, username: &str, password: &SecretReference) -> Result<(), ConfigError> {
    let password = password.read().map_err(|reason| ConfigError::Value { key: "sasl.password", reason })?;
    client.set("sasl.mechanism", mechanism).set("sasl.username", username).set("sasl.password", password.as_str());
    Ok(())
}

fn is_name(text: &str) -> bool {
    (1..=249).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty() && !text.contains([',', '/', '@', ' ']) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plain() -> KafkaConfig {
        KafkaConfig::plain(vec!["127.0.0.1:9092".into()])
    }

    fn secret(text: &str) -> (tempfile::TempDir, SecretReference) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, text).unwrap();
        (folder, SecretReference { file: Some(file), env: None })
    }

    fn key_of(config: &KafkaConfig) -> &'static str {
        match config.check() {
            Err(ConfigError::Value { key, .. }) => key,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        for broker in ["", "host", "host:", ":9092", "host:0", "a:1,b:2", "user@host:1", "http://host:1"] {
            assert_eq!(key_of(&KafkaConfig::plain(vec![broker.into()])), "brokers", "{broker}");
        }
        assert_eq!(key_of(&KafkaConfig::plain(vec![])), "brokers");
        assert_eq!(key_of(&KafkaConfig { delivery_timeout_ms: 0, ..plain() }), "delivery_timeout_ms");
        assert_eq!(key_of(&KafkaConfig { topics: TopicSettings { replication: 1, min_in_sync: 2 }, ..plain() }), "topics.min_in_sync");
        let group = |group: GroupConfig| key_of(&KafkaConfig { group, ..plain() });
        assert_eq!(group(GroupConfig { session_timeout_ms: 500, ..GroupConfig::default() }), "group.session_timeout_ms");
        assert_eq!(group(GroupConfig { id: Some("a b".into()), ..GroupConfig::default() }), "group.id");
        assert_eq!(group(GroupConfig { instance: Some(String::new()), ..GroupConfig::default() }), "group.instance");
        let tls = TlsConfig { key_file: Some("key.pem".into()), ..TlsConfig::default() };
        assert_eq!(key_of(&KafkaConfig { tls: Some(tls), ..plain() }), "tls");
        let sasl = SaslConfig::Oauthbearer { token: None, oidc: None };
        assert_eq!(key_of(&KafkaConfig { sasl: Some(sasl), ..plain() }), "sasl");
        assert_eq!(plain().check(), Ok(()));
    }

    #[test]
    fn secrets_reach_the_client_and_are_never_shown() {
        let (_folder, password) = secret("open sesame\n");
        let sasl = SaslConfig::ScramSha512 { username: "relayer".into(), password };
        let config = KafkaConfig { sasl: Some(sasl), tls: Some(TlsConfig::default()), ..plain() };
        let client = config.client().unwrap();
        assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(client.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(client.get("sasl.password"), Some("open sesame"));
        assert!(!format!("{config:?}").contains("sesame"));
        assert!(!serde_json::to_string(&config).unwrap().contains("sesame"));
    }

    #[test]
    fn the_group_is_read_from_a_configuration_and_shows_itself_several_times_per_session() {
        let read = |text: &str| serde_json::from_str::<GroupConfig>(text);
        assert_eq!(read("{}").unwrap(), GroupConfig { id: None, instance: None, session_timeout_ms: 10_000 });
        assert_eq!(read(r#"{"id":"a","instance":"b","session_timeout_ms":7000}"#).unwrap().heartbeat_ms(), 1_750);
        assert!(read(r#"{"heartbeat_ms":1}"#).is_err());
        for session_timeout_ms in [1_000, 10_000, 300_000] {
            let group = GroupConfig { session_timeout_ms, ..GroupConfig::default() };
            assert!(group.heartbeat_ms().saturating_mul(3) <= session_timeout_ms);
        }
    }

    #[test]
    fn every_form_of_sasl_is_read_from_a_configuration() {
        let read = |text: &str| serde_json::from_str::<SaslConfig>(text);
        let scram = r#"{"mechanism":"scram-sha-256","username":"a","password":{"env":"B"}}"#;
        assert!(matches!(read(scram).unwrap(), SaslConfig::ScramSha256 { .. }));
        let token = r#"{"mechanism":"oauthbearer","token":{"file":"token"}}"#;
        assert!(matches!(read(token).unwrap(), SaslConfig::Oauthbearer { token: Some(_), oidc: None }));
        let oidc =
            r#"{"mechanism":"oauthbearer","oidc":{"token_url":"https://id.example/token","client_id":"a","client_secret":{"env":"B"}}}"#;
        assert!(matches!(read(oidc).unwrap(), SaslConfig::Oauthbearer { token: None, oidc: Some(_) }));
        assert!(read(r#"{"mechanism":"plain","username":"a"}"#).is_err());
    }
}
