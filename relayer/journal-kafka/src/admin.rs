//! Topics: what they must be, what they are, and making the one into the other. Nothing else ever creates a topic.

use crate::config::{KafkaConfig, SaslConfig, TopicSettings};
use crate::context::{Access, Context};
use crate::outbox::{Outbox, Reports};
use crate::token::TokenSource;
use acurast_events::topics::TopicName;
use acurast_relayer_journal::{TopicError, check_topic};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How long one administrative request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a new topic may take to be known to the brokers. They learn of it one after the other.
const SPREAD: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A topic as it must be, beside what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// The topic.
    pub topic: TopicName,
    /// How many partitions it must have.
    pub partitions: NonZeroU32,
    /// What it is.
    pub state: TopicState,
}

/// What a topic is, compared with what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicState {
    /// It is as it must be.
    AsPlanned,
    /// It isn't there; `apply` creates it.
    Missing,
    /// Some of its configuration differs: name, value as it must be, value as it is. `apply` sets it.
    Configured(Vec<(String, String, String)>),
    /// It differs in what can't be changed in place; says what.
    Unfit(String),
}

impl fmt::Display for TopicPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} partitions): ", self.topic, self.partitions)?;
        match &self.state {
            TopicState::AsPlanned => f.write_str("as planned"),
            TopicState::Missing => f.write_str("missing; `topics apply` creates it"),
            TopicState::Configured(differences) => {
                f.write_str("`topics apply` sets")?;
                differences.iter().try_for_each(|(name, wanted, found)| write!(f, " {name} = {wanted} (is {found})"))
            }
            TopicState::Unfit(reason) => write!(f, "UNFIT: {reason}"),
        }
    }
}

/// A topic as the brokers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partitions: NonZeroU32,
    /// The fewest replicas that any of its partitions has.
    replicas: usize,
    /// Whether each partition has a leader.
    all_led: bool,
}

/// What the brokers say of one topic; nothing when there is none.
pub(crate) async fn find(brokers: &Outbox, topic: &TopicName) -> Result<Option<Found>, KafkaError> {
    let (topic, patience) = (topic.as_str().to_owned(), brokers.patience);
    let ask = move |client: &Client<Reports>| {
        let metadata = client.fetch_metadata(Some(&topic), patience)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error() {
            None => Ok(found_of(found)),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        }
    };
    brokers.ask(ask).await
}

fn found_of(topic: &rdkafka::metadata::MetadataTopic) -> Option<Found> {
    let partitions = u32::try_from(topic.partitions().len()).ok().and_then(NonZeroU32::new)?;
    let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or_default();
    let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
    Some(Found { partitions, replicas, all_led: led == topic.partitions().len() })
}

/// All topics whose name begins with `prefix`.
pub(crate) async fn list(brokers: &Outbox, prefix: &str) -> Result<BTreeMap<TopicName, NonZeroU32>, KafkaError> {
    let (prefix, patience) = (prefix.to_owned(), brokers.patience);
    let ask = move |client: &Client<Reports>| {
        let metadata = client.fetch_metadata(None, patience)?;
        let ours = metadata.topics().iter().filter(|topic| topic.name().starts_with(&prefix) && !topic.name().starts_with("__"));
        Ok(ours.filter_map(|topic| Some((TopicName::new(topic.name()), found_of(topic)?.partitions))).collect())
    };
    brokers.ask(ask).await
}

/// Creates and compares topics.
pub(crate) struct Admin {
    client: ClientConfig,
    tokens: Option<TokenSource>,
    settings: TopicSettings,
}

impl Admin {
    pub(crate) fn new(kafka: &KafkaConfig, client: ClientConfig) -> Self {
        Self { client, tokens: TokenSource::of(kafka.sasl.as_ref()), settings: kafka.topics }
    }

    /// Creates `topic` and returns once every partition has a leader.
    pub(crate) async fn create(&self, brokers: &Outbox, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        let admin = self.connect()?;
        let count = i32::try_from(partitions.get()).map_err(|_| TopicError::TooManyPartitions(partitions))?;
        let entries = self.settings.entries();
        let replication = TopicReplication::Fixed(i32::from(self.settings.replication));
        let mut new = NewTopic::new(topic.as_str(), count, replication);
        for (name, value) in &entries {
            new = new.set(name, value);
        }
        let results = admin.create_topics([&new], &options()).await.map_err(|error| unavailable(topic, &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(TopicError::Unavailable(format!("{topic} can't be created: {code}"))),
            }
        }
        self.await_leaders(brokers, topic, partitions).await
    }

    async fn await_leaders(&self, brokers: &Outbox, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        let began = Instant::now();
        loop {
            let found = find(brokers, topic).await.map_err(|error| unavailable(topic, &error))?;
            if found.is_some_and(|found| found.all_led && found.partitions == partitions) {
                return Ok(());
            }
            if began.elapsed() > SPREAD {
                return Err(TopicError::Unavailable(format!("{topic} was created, but not all of its partitions have a leader")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Compares topics with what they must be.
    pub(crate) async fn plan(&self, brokers: &Outbox, wanted: &[(TopicName, NonZeroU32)]) -> Result<Vec<TopicPlan>, TopicError> {
        let mut found = BTreeMap::new();
        for (topic, partitions) in wanted {
            check_topic(topic, *partitions)?;
            if let Some(state) = find(brokers, topic).await.map_err(|error| unavailable(topic, &error))? {
                found.insert(topic.clone(), state);
            }
        }
        let names: Vec<&TopicName> = found.keys().collect();
        let mut configured = if names.is_empty() { BTreeMap::new() } else { self.describe(&names).await? };
        let plan = wanted.iter().map(|(topic, partitions)| {
            let state = match found.get(topic) {
                None => TopicState::Missing,
                Some(found) => self.judge(*partitions, *found, configured.remove(topic.as_str()).unwrap_or_default()),
            };
            TopicPlan { topic: topic.clone(), partitions: *partitions, state }
        });
        Ok(plan.collect())
    }

    fn judge(&self, partitions: NonZeroU32, found: Found, configured: BTreeMap<String, Configured>) -> TopicState {
        if found.partitions != partitions {
            let reason = format!("it has {} partitions; the number is fixed for a topic's life, set it back", found.partitions);
            return TopicState::Unfit(reason);
        }
        if found.replicas < usize::from(self.settings.replication) {
            let reason = format!(
                "a partition has {} replicas, not {}; reassign it with the brokers' own tools (kafka-reassign-partitions)",
                found.replicas, self.settings.replication
            );
            return TopicState::Unfit(reason);
        }
        let differences: Vec<_> = self
            .settings
            .entries()
            .into_iter()
            .filter_map(|(name, wanted)| {
                let found = configured.get(name).map_or_else(|| "unknown".to_owned(), |entry| entry.value.clone());
                (found != wanted).then(|| (name.to_owned(), wanted, found))
            })
            .collect();
        if differences.is_empty() { TopicState::AsPlanned } else { TopicState::Configured(differences) }
    }

    /// Makes topics as planned; what can't be changed in place is left, and refused.
    pub(crate) async fn apply(&self, brokers: &Outbox, plan: &[TopicPlan]) -> Result<(), TopicError> {
        // All or none as far as can be told before.
        if let Some(unfit) = plan.iter().find(|planned| matches!(planned.state, TopicState::Unfit(_))) {
            return Err(TopicError::Unavailable(unfit.to_string()));
        }
        for planned in plan {
            match &planned.state {
                TopicState::AsPlanned | TopicState::Unfit(_) => {}
                TopicState::Missing => self.create(brokers, &planned.topic, planned.partitions).await?,
                TopicState::Configured(_) => self.configure(&planned.topic).await?,
            }
        }
        Ok(())
    }

    /// Sets what matters, and keeps what else somebody set: the request replaces all of it.
    async fn configure(&self, topic: &TopicName) -> Result<(), TopicError> {
        let mut found = self.describe(&[topic]).await?.remove(topic.as_str()).unwrap_or_default();
        found.retain(|_, entry| entry.set);
        let mut wanted: BTreeMap<String, String> = found.into_iter().map(|(name, entry)| (name, entry.value)).collect();
        wanted.extend(self.settings.entries().into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str()));
        for (name, value) in &wanted {
            change = change.set(name, value);
        }
        let admin = self.connect()?;
        let results = admin.alter_configs([&change], &options()).await.map_err(|error| unavailable(topic, &error))?;
        for result in results {
            result.map_err(|(_, code)| TopicError::Unavailable(format!("{topic} can't be configured: {code}")))?;
        }
        Ok(())
    }

    async fn describe(&self, topics: &[&TopicName]) -> Result<BTreeMap<String, BTreeMap<String, Configured>>, TopicError> {
        let admin = self.connect()?;
        let began = Instant::now();
        loop {
            let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic.as_str())).collect();
            let answered = admin.describe_configs(&asked, &options()).await;
            let answered = answered.map_err(|error| TopicError::Unavailable(format!("topics can't be described: {error}")))?;
            let described: Result<BTreeMap<_, _>, RDKafkaErrorCode> =
                answered.into_iter().map(|resource| resource.map(entries_of)).collect();
            match described {
                Ok(described) => return Ok(described),
                // A topic that was just created is known to the broker that is asked a moment later.
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) if began.elapsed() < SPREAD => tokio::time::sleep(LOOK).await,
                Err(code) => return Err(TopicError::Unavailable(format!("topics can't be described: {code}"))),
            }
        }
    }

    fn connect(&self) -> Result<AdminClient<Context>, TopicError> {
        if let Some(TokenSource::Kept(_) | TokenSource::Granted(_)) = &self.tokens {
            // The library's administrative client never asks for a token.
            let reason =
                "topics can't be managed over SASL OAUTHBEARER; use SCRAM or a client certificate for `topics`, or the brokers' own tools";
            return Err(TopicError::Unavailable(reason.into()));
        }
        let context = Context { access: Access::new(None) };
        AdminClient::from_config_and_context(&self.client, context).map_err(|error| TopicError::Unavailable(error.to_string()))
    }
}

/// One entry of a topic's configuration.
struct Configured {
    value: String,
    /// Set for this topic, not a default.
    set: bool,
}

fn entries_of(resource: rdkafka::admin::ConfigResource) -> (String, BTreeMap<String, Configured>) {
    let name = match resource.specifier {
        rdkafka::admin::OwnedResourceSpecifier::Topic(name) => name,
        rdkafka::admin::OwnedResourceSpecifier::Group(name) => name,
        rdkafka::admin::OwnedResourceSpecifier::Broker(id) => id.to_string(),
    };
    let entries = resource.entries.into_iter().filter_map(|entry| {
        let set = entry.source == ConfigSource::DynamicTopic;
        Some((entry.name, Configured { value: entry.value?, set }))
    });
    (name, entries.collect())
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}

fn unavailable(topic: &TopicName, error: &KafkaError) -> TopicError {
    TopicError::Unavailable(format!("{topic}: {error}"))
}

/// Whether topics can be managed with this configuration at all.
pub(crate) fn can_manage(kafka: &KafkaConfig) -> bool {
    !matches!(kafka.sasl, Some(SaslConfig::Oauthbearer { .. }))
}
