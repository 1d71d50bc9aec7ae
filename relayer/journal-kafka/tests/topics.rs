//! Topics as configured, and brokers that ask who we are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::TopicName;
use acurast_events::units::Offset;
use acurast_relayer_journal::{EventJournal, ReadError, TopicError};
use acurast_relayer_journal_kafka::{
    KafkaConfig, KafkaJournal, SaslConfig, SecretReference, TlsConfig, TopicPlan, TopicSettings, TopicState,
};
use contract::{append_raw, partition, read_raw};
use faults_support::{admin, create_plain, set_config};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{Brokers, ready};

fn states(plan: &[TopicPlan]) -> Vec<&TopicState> {
    plan.iter().map(|planned| &planned.state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_planned_applied_and_verified_and_drift_is_told() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    let journal = KafkaJournal::open(&brokers.config(), "acurast.").unwrap();
    let [jobs, lanes] = ["acurast.jobs.v1", "acurast.lanes.v1"].map(TopicName::new);
    let two = NonZeroU32::new(2).unwrap();
    let wanted = [(jobs.clone(), two), (lanes.clone(), NonZeroU32::MIN)];
    let admin = admin(&brokers.config());
    // Somebody made one of them by hand.
    create_plain(&admin, &lanes).await;

    let plan = journal.plan(&wanted).await.unwrap();
    assert_eq!(plan[0].state, TopicState::Missing);
    let TopicState::Configured(differences) = &plan[1].state else { panic!("{plan:?}") };
    let names: Vec<&str> = differences.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["retention.ms", "max.message.bytes"]);
    let refused = journal.verify(&wanted).await.unwrap_err().to_string();
    assert!(refused.contains("acurast.jobs.v1") && refused.contains("topics apply"), "{refused}");

    journal.apply(&plan).await.unwrap();
    assert_eq!(states(&journal.plan(&wanted).await.unwrap()), [&TopicState::AsPlanned; 2]);
    journal.verify(&wanted).await.unwrap();
    assert_eq!(journal.topics().await.unwrap(), wanted.iter().cloned().collect());

    // Somebody lets records expire, and sets something that is nobody's business here.
    set_config(&admin, &jobs, &[("retention.ms", "1000"), ("segment.bytes", "1048576")]).await;
    let plan = journal.plan(&wanted).await.unwrap();
    let expected = ("retention.ms".to_owned(), "-1".to_owned(), "1000".to_owned());
    assert!(matches!(&plan[0].state, TopicState::Configured(differences) if differences.contains(&expected)), "{plan:?}");
    journal.apply(&plan).await.unwrap();
    assert_eq!(states(&journal.plan(&wanted).await.unwrap()), [&TopicState::AsPlanned; 2]);
    assert_eq!(faults_support::get_config(&admin, &jobs, "segment.bytes").await.as_deref(), Some("1048576"));

    // What can't be changed is refused, and nothing else is changed then.
    let more = [(jobs, NonZeroU32::new(3).unwrap()), (TopicName::new("acurast.new.v1"), two)];
    let plan = journal.plan(&more).await.unwrap();
    assert!(matches!(plan[0].state, TopicState::Unfit(_)), "{plan:?}");
    assert!(matches!(journal.apply(&plan).await, Err(TopicError::Unavailable(_))));
    assert_eq!(journal.plan(&more).await.unwrap()[1].state, TopicState::Missing);
    let replicated = KafkaConfig { topics: TopicSettings { replication: 3, min_in_sync: 2 }, ..brokers.config() };
    let plan = KafkaJournal::open(&replicated, "acurast.").unwrap().plan(&wanted).await.unwrap();
    assert!(states(&plan).iter().all(|state| matches!(state, TopicState::Unfit(_))), "{plan:?}");
}

/// A user with this password, in a file.
fn scram(folder: &Path, password: &str, sha512: bool) -> SaslConfig {
    let file = folder.join(format!("password-{password}"));
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let (username, password) = ("relayer".to_owned(), SecretReference { file: Some(file), env: None });
    if sha512 { SaslConfig::ScramSha512 { username, password } } else { SaslConfig::ScramSha256 { username, password } }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_known_by_scram_and_nobody_else_is_let_in() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let login = |mechanism: &str| {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"broker\" password=\"b\";";
        format!("listener.name.sasl_plaintext.{mechanism}.sasl.jaas.config={module}\n")
    };
    // The later line counts: the broker's port asks for SASL, of its own controller too.
    let properties = format!(
        "listeners=SASL_PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@\n\
         advertised.listeners=SASL_PLAINTEXT://127.0.0.1:@PORT@\n\
         inter.broker.listener.name=SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512\n\
         sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n{}{}",
        login("scram-sha-256"),
        login("scram-sha-512")
    );
    let users = "--add-scram SCRAM-SHA-512=[name=broker,password=b] --add-scram SCRAM-SHA-256=[name=relayer,password=r] \
                 --add-scram SCRAM-SHA-512=[name=relayer,password=r]";
    let brokers = Brokers::start_with(1, &properties, users);
    for sha512 in [false, true] {
        let config = KafkaConfig { sasl: Some(scram(folder.path(), "r", sha512)), ..brokers.config() };
        let journal: Arc<dyn EventJournal> = Arc::new(KafkaJournal::open(&config, "acurast.").unwrap());
        let at = partition(&journal).await;
        append_raw(&journal, &at, vec![vec![1]]).await;
        assert_eq!(read_raw(&journal, &at).await.len(), if sha512 { 2 } else { 1 });
    }
    let config = KafkaConfig { sasl: Some(scram(folder.path(), "wrong", true)), read_timeout_ms: 2_000, ..brokers.config() };
    let journal = KafkaJournal::open(&config, "acurast.").unwrap();
    let refused = journal.end(&TopicName::new("acurast.jobs.v1").partition(0)).await;
    assert!(matches!(refused, Err(ReadError::Unavailable { .. })), "{refused:?}");
    let right = KafkaConfig { sasl: Some(scram(folder.path(), "r", true)), ..brokers.config() };
    let at = TopicName::new("acurast.jobs.v1").partition(0);
    assert_eq!(KafkaJournal::open(&right, "acurast.").unwrap().end(&at).await, Ok(Offset(2)));
}

/// A certificate authority in `folder`, and a certificate by it for each name: `NAME.crt`, `NAME.key`, and both in `NAME.pem`.
/// False where there is no openssl, which is said.
fn certificates(folder: &Path, names: &[&str]) -> bool {
    let openssl = |arguments: &str| {
        let done = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
        done.is_ok_and(|done| done.status.success())
    };
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    if !openssl(&format!("req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN=authority -days 2")) {
        eprintln!("NOT TESTED OVER TLS: openssl can't make certificates here");
        return false;
    }
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for name in names {
        assert!(openssl(&format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}")));
        let sign = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile names");
        assert!(openssl(&sign));
        let both = ["key", "crt"].map(|kind| std::fs::read_to_string(folder.join(format!("{name}.{kind}"))).unwrap());
        std::fs::write(folder.join(format!("{name}.pem")), both.concat()).unwrap();
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mutual_tls_each_side_shows_its_certificate() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path(), &["broker", "relayer"]) {
        return;
    }
    let place = folder.path().display();
    let properties = format!(
        "listeners=SSL://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@\n\
         advertised.listeners=SSL://127.0.0.1:@PORT@\n\
         inter.broker.listener.name=SSL\n\
         ssl.client.auth=required\n\
         ssl.keystore.type=PEM\nssl.keystore.location={place}/broker.pem\n\
         ssl.truststore.type=PEM\nssl.truststore.location={place}/ca.pem"
    );
    let brokers = Brokers::start_with(1, &properties, "");
    let file = |name: &str| Some(folder.path().join(name));
    let with = |certificate_file: Option<PathBuf>, key_file: Option<PathBuf>, ca_file: Option<PathBuf>| KafkaConfig {
        tls: Some(TlsConfig { ca_file, certificate_file, key_file, key_password: None }),
        read_timeout_ms: 2_000,
        ..brokers.config()
    };
    let known = with(file("relayer.crt"), file("relayer.key"), file("ca.pem"));
    let journal: Arc<dyn EventJournal> = Arc::new(KafkaJournal::open(&known, "acurast.").unwrap());
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1], vec![2]]).await;
    assert_eq!(read_raw(&journal, &at).await.len(), 2);
    // One that shows nothing isn't let in; and a broker whose authority isn't ours isn't believed.
    for stranger in
        [with(None, None, file("ca.pem")), with(file("relayer.crt"), file("relayer.key"), file("relayer.crt")), brokers.config()]
    {
        let refused = KafkaJournal::open(&KafkaConfig { read_timeout_ms: 2_000, ..stranger }, "acurast.").unwrap().end(&at).await;
        assert!(matches!(refused, Err(ReadError::Unavailable { .. })), "{refused:?}");
    }
}
