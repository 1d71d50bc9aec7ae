//! Real brokers for tests, by `deploy/kafka/kafka.sh`, and journals of one test among many on one of them.

use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, EventJournal, NewRecord, ReadBatch, ReadError, ReadLimits, TopicError};
use acurast_relayer_journal_kafka::{KafkaConfig, KafkaJournal, TopicSettings};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Brokers that live as long as this does; they also die when this process dies in any way.
pub(crate) struct Brokers {
    holder: Child,
    home: TempDir,
    /// Whether `home` is a file system of its own.
    mounted: bool,
    port: u16,
    pub(crate) addresses: Vec<String>,
}

fn script() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kafka/kafka.sh");
    std::env::var_os("ACURAST_KAFKA").map_or(own, PathBuf::from)
}

/// Whether tests on real brokers can run; says why not, and fails where they must.
pub(crate) fn ready() -> bool {
    let asked = Command::new(script()).arg("ready").output().expect("kafka.sh runs");
    if asked.status.success() {
        return true;
    }
    let why = String::from_utf8_lossy(&asked.stderr).trim().to_owned();
    assert_ne!(std::env::var("ACURAST_NODES").as_deref(), Ok("required"), "{why}");
    eprintln!("NOT TESTED ON A REAL BROKER: {why}");
    false
}

/// The first of `count` free ports in a row.
pub(crate) fn free_ports(count: u16) -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let Some(last) = first.checked_add(count - 1) else { continue };
        // All at once, so that one isn't taken for another.
        let bound: Vec<_> = (first..=last).map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
        if bound.len() == usize::from(count) {
            return first;
        }
    }
}

fn mount(place: &Path, options: &str) -> bool {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).output();
    mounted.is_ok_and(|mounted| mounted.status.success())
}

impl Brokers {
    /// Starts one broker or three. Takes seconds.
    pub(crate) fn start(count: u8) -> Self {
        Self::start_with(count, "", "")
    }

    /// With further lines in each broker's configuration, and further arguments when its storage is formatted.
    pub(crate) fn start_with(count: u8, properties: &str, format: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), false, count, properties, format)
    }

    /// One broker whose disk holds no more than `size`; nothing where this user may not mount file systems, which is said.
    pub(crate) fn start_on_small_disk(size: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        if !mount(home.path(), &format!("size={size}")) {
            eprintln!("NOT TESTED WITH A FULL DISK: this user may not mount a small file system");
            return None;
        }
        Some(Self::start_in(home, true, 1, "", ""))
    }

    /// Gives the small disk more room.
    pub(crate) fn enlarge_disk(&self, size: &str) {
        assert!(mount(self.home.path(), &format!("remount,size={size}")));
    }

    fn start_in(home: TempDir, mounted: bool, count: u8, properties: &str, format: &str) -> Self {
        let port = free_ports(u16::from(count) * 2);
        let mut command = Self::command(home.path(), port);
        command
            .env("KAFKA_PROPERTIES", properties)
            .env("KAFKA_FORMAT", format)
            .args(["hold", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Vec<String> = line.trim().split(',').map(str::to_owned).collect();
        assert_eq!(addresses.len(), usize::from(count), "the brokers didn't start: {line}");
        Self { holder, home, mounted, port, addresses }
    }

    fn command(home: &Path, port: u16) -> Command {
        let mut command = Command::new(script());
        command.env("KAFKA_HOME", home).env("KAFKA_PORT", port.to_string());
        command
    }

    /// `kill`, `pause`, `resume` or `revive` broker `id`, counted from 1.
    pub(crate) fn act(&self, verb: &str, id: u8) {
        assert!(self.try_act(verb, id), "{verb} {id}");
    }

    /// As `act`, of a broker that may have ended by itself.
    pub(crate) fn try_act(&self, verb: &str, id: u8) -> bool {
        Self::command(self.home.path(), self.port).args([verb, &id.to_string()]).status().unwrap().success()
    }

    /// How to reach them, for topics with all the replicas that there are.
    pub(crate) fn config(&self) -> KafkaConfig {
        let replication = u16::try_from(self.addresses.len()).unwrap();
        let topics = TopicSettings { replication, min_in_sync: replication.div_ceil(2) };
        KafkaConfig { topics, ..KafkaConfig::plain(self.addresses.clone()) }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().unwrap();
        if self.mounted {
            Command::new("umount").arg(self.home.path()).status().unwrap();
        }
    }
}

/// A journal with topics of its own on shared brokers: every name gets a prefix that nobody sees.
pub(crate) struct Namespaced {
    journal: KafkaJournal,
    prefix: String,
}

impl Namespaced {
    pub(crate) fn open(config: &KafkaConfig, prefix: &str) -> Arc<dyn EventJournal> {
        Arc::new(Self { journal: KafkaJournal::open(config, prefix).unwrap().with_attributes(), prefix: prefix.to_owned() })
    }

    fn topic(&self, topic: &TopicName) -> TopicName {
        TopicName::new(format!("{}{topic}", self.prefix))
    }
    fn at(&self, at: &TopicPartition) -> TopicPartition {
        self.topic(&at.topic).partition(at.partition)
    }
    fn bare_topic(&self, topic: &TopicName) -> TopicName {
        TopicName::new(topic.as_str().strip_prefix(&self.prefix).unwrap())
    }
    fn bare(&self, at: &TopicPartition) -> TopicPartition {
        self.bare_topic(&at.topic).partition(at.partition)
    }
    fn topic_error(&self, error: TopicError) -> TopicError {
        match error {
            TopicError::Drift { topic, wanted, found } => TopicError::Drift { topic: self.bare_topic(&topic), wanted, found },
            TopicError::BadName(name) => TopicError::BadName(name.strip_prefix(&self.prefix).unwrap().to_owned()),
            TopicError::TooManyPartitions(_) | TopicError::ReadOnly | TopicError::Unavailable(_) => error,
        }
    }
    fn append_error(&self, error: AppendError) -> AppendError {
        match error {
            AppendError::Refused { at, reason } => AppendError::Refused { at: self.bare(&at), reason },
            AppendError::Uncertain { at, reason } => AppendError::Uncertain { at: self.bare(&at), reason },
        }
    }
    fn read_error(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::NoSuchPartition(at) => ReadError::NoSuchPartition(self.bare(&at)),
            ReadError::Truncated { at, begins, asked } => ReadError::Truncated { at: self.bare(&at), begins, asked },
            ReadError::Corrupted { at, offset, reason } => ReadError::Corrupted { at: self.bare(&at), offset, reason },
            ReadError::Unavailable { at, reason } => ReadError::Unavailable { at: self.bare(&at), reason },
            ReadError::Snapshot(at) => ReadError::Snapshot(self.bare(&at)),
        }
    }
}

#[async_trait]
impl EventJournal for Namespaced {
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        self.journal.create(&self.topic(topic), partitions).await.map_err(|error| self.topic_error(error))
    }
    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError> {
        let topics = self.journal.topics().await?;
        Ok(topics.into_iter().map(|(topic, partitions)| (self.bare_topic(&topic), partitions)).collect())
    }
    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        self.journal.append(&self.at(at), records).await.map_err(|error| self.append_error(error))
    }
    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        self.journal.read(&self.at(at), from, limits).await.map_err(|error| self.read_error(error))
    }
    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        self.journal.end(&self.at(at)).await.map_err(|error| self.read_error(error))
    }
    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        self.journal.wait_beyond(&self.at(at), offset).await.map_err(|error| self.read_error(error))
    }
}
