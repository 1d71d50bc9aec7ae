//! A broker that asks for OAUTHBEARER tokens: kept in a file, or granted by an endpoint. Kafka's own handler for unsecured tokens
//! checks them, which looks at everything but a signature.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::TopicName;
use acurast_relayer_journal::{EventJournal, ReadError};
use acurast_relayer_journal_kafka::{GroupConfig, KafkaConfig, KafkaJournal, OidcConfig, SaslConfig, SecretReference, Transactions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::{append_raw, read_raw};
use faults_support::eventually;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Brokers, free_ports, ready};

/// A token that the broker takes for `seconds`; `id` is a claim that nobody looks at.
fn token(id: &str, seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // The relayer reads whole seconds.
    let exp = (now + seconds).ceil();
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let claims = format!(r#"{{"sub":"relayer","jti":"{id}","iat":{},"exp":{exp}}}"#, now.floor());
    format!("{}.{}.", part(r#"{"alg":"none"}"#.into()), part(claims))
}

fn keep(file: &Path, token: &str) {
    // Beside it and then moved there, as whoever keeps tokens fresh should.
    let beside = file.with_extension("new");
    std::fs::write(&beside, token).unwrap();
    std::fs::rename(beside, file).unwrap();
}

/// A token endpoint for this client; counts what it granted, each token good for `seconds`.
fn endpoint(client: &str, secret: &str, seconds: f64) -> (u16, Arc<AtomicUsize>) {
    use base64::engine::general_purpose::STANDARD;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let granted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&granted);
    let expected = format!("authorization: Basic {}", STANDARD.encode(format!("{client}:{secret}"))).to_ascii_lowercase();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4_096];
            while !String::from_utf8_lossy(&request).contains("grant_type=client_credentials") {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let known = String::from_utf8_lossy(&request).to_ascii_lowercase().contains(&expected);
            let (status, body) = if known {
                let id = count.fetch_add(1, Ordering::SeqCst).to_string();
                ("200 OK", format!(r#"{{"access_token":"{}","expires_in":{seconds}}}"#, token(&id, seconds)))
            } else {
                ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned())
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    (port, granted)
}

/// A broker that wants a token, again every three seconds, and one address beside it that doesn't.
fn guarded() -> (Brokers, KafkaConfig) {
    let plain = free_ports(1);
    let server = "listener.name.sasl_plaintext.oauthbearer";
    let properties = format!(
        "listeners=SASL_PLAINTEXT://127.0.0.1:@PORT@,PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:@CONTROLLER@\n\
         advertised.listeners=SASL_PLAINTEXT://127.0.0.1:@PORT@,PLAINTEXT://127.0.0.1:{plain}\n\
         sasl.enabled.mechanisms=OAUTHBEARER\n\
         {server}.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n\
         {server}.sasl.server.callback.handler.class=\
         org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler\n\
         {server}.connections.max.reauth.ms=3000\n\
         group.min.session.timeout.ms=1000"
    );
    let brokers = Brokers::start_with(1, &properties, "");
    let open = KafkaConfig { brokers: vec![format!("127.0.0.1:{plain}")], ..brokers.config() };
    (brokers, open)
}

fn with(config: KafkaConfig, token: Option<SecretReference>, oidc: Option<OidcConfig>) -> KafkaConfig {
    let group = GroupConfig { session_timeout_ms: 4_000, ..GroupConfig::default() };
    KafkaConfig {
        sasl: Some(SaslConfig::Oauthbearer { token, oidc }),
        group,
        transactions: Transactions::On,
        read_timeout_ms: 3_000,
        ..config
    }
}

/// Writes, reads, publishes and stays in the group for `time`.
async fn works_for(config: &KafkaConfig, time: Duration) {
    let kafka = Arc::new(KafkaJournal::open(config, "acurast.").unwrap());
    let journal = Arc::clone(&kafka) as Arc<dyn EventJournal>;
    let [at, derived] = ["acurast.jobs.v1", "acurast.receipts.v1"].map(|name| TopicName::new(name).partition(0));
    kafka.verify(&[(at.topic.clone(), NonZeroU32::MIN)]).await.unwrap();
    let membership = kafka.join(&[(at.topic.clone(), NonZeroU32::MIN)]).unwrap();
    let assignment = membership.assignment();
    eventually(|| async { (assignment.borrow().partitions.len() == 1).then_some(()) }).await;
    let generation = assignment.borrow().generation;
    let began = Instant::now();
    let mut written = read_raw(&journal, &at).await.len();
    while began.elapsed() < time {
        append_raw(&journal, &at, vec![vec![1]]).await;
        append_raw(&journal, &derived, vec![vec![2]]).await;
        written += 1;
        assert_eq!(read_raw(&journal, &at).await.len(), written);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(assignment.borrow().generation, generation, "it never lost the group");
    membership.leave().await;
}

async fn refused(config: &KafkaConfig) -> String {
    let journal = KafkaJournal::open(config, "acurast.").unwrap();
    match journal.end(&TopicName::new("acurast.jobs.v1").partition(0)).await {
        Err(ReadError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shown_renewed_and_when_they_are_bad_the_error_says_what_to_do() {
    if !ready() {
        return;
    }
    // Cleartext needs no provider, but the HTTP client insists on one being there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (brokers, open) = guarded();
    let admin = KafkaJournal::open(&open, "acurast.").unwrap();
    for name in ["acurast.jobs.v1", "acurast.receipts.v1"] {
        admin.create(&TopicName::new(name), NonZeroU32::MIN).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();

    // A token in a file, that runs out after five seconds and is replaced in time.
    let file = folder.path().join("token");
    keep(&file, &token("kept-0", 5.0));
    let kept = with(brokers.config(), Some(SecretReference { file: Some(file.clone()), env: None }), None);
    let keeper = {
        let file = file.clone();
        tokio::spawn(async move {
            for number in 1.. {
                tokio::time::sleep(Duration::from_secs(2)).await;
                keep(&file, &token(&format!("kept-{number}"), 5.0));
            }
        })
    };
    works_for(&kept, Duration::from_secs(12)).await;
    keeper.abort();
    assert!(keeper.await.unwrap_err().is_cancelled());

    // Tokens by client credentials.
    let secret_file = folder.path().join("secret");
    std::fs::write(&secret_file, "open sesame").unwrap();
    let (port, granted) = endpoint("relayer", "open sesame", 4.0);
    let oidc = |client: &str| OidcConfig {
        token_url: format!("http://127.0.0.1:{port}/token").parse().unwrap(),
        client_id: client.into(),
        client_secret: SecretReference { file: Some(secret_file.clone()), env: None },
        scope: None,
    };
    works_for(&with(brokers.config(), None, Some(oidc("relayer"))), Duration::from_secs(8)).await;
    // A producer, a transactional one, a group member and a reader, each twice at least.
    assert!(granted.load(Ordering::SeqCst) >= 8, "{granted:?}");

    // A token that ran out and that nobody renewed.
    keep(&file, &token("stale", -60.0));
    let reason = refused(&kept).await;
    assert!(reason.contains("ran out") && reason.contains("journal.kafka.sasl.token"), "{reason}");
    // A token that the broker doesn't believe: its subject is missing.
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":1,"exp":99999999999}"#);
    let wrong = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    keep(&file, &wrong);
    let reason = refused(&kept).await;
    assert!(reason.contains("isn't let in") && reason.contains("journal.kafka.sasl"), "{reason}");
    assert!(!reason.contains(&claims) && !reason.contains(&wrong), "{reason}");
    // A client that the endpoint doesn't know.
    let reason = refused(&with(brokers.config(), None, Some(oidc("stranger")))).await;
    assert!(reason.contains("401") && reason.contains("journal.kafka.sasl.oidc") && !reason.contains("sesame"), "{reason}");
    // No token at all.
    std::fs::remove_file(&file).unwrap();
    let reason = refused(&kept).await;
    assert!(reason.contains("can't be read") && reason.contains("token"), "{reason}");
    // Once it is there again, all goes on.
    keep(&file, &token("back", 300.0));
    works_for(&kept, Duration::from_secs(1)).await;
}
