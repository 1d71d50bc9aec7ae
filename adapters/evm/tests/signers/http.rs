//! What a lane may count on of an HTTP signer, whatever the other side says.

use crate::server::{Reply, SignerServer, address, key, public_key};
use acurast_adapter_evm::transaction::Unsigned;
use acurast_adapter_evm::{HttpAuthorization, HttpSigner, HttpSignerConfig, LocalKey, SecretReference, Signer, SignerError, transaction};
use acurast_events::amount::Amount;
use acurast_events::bytes::EvmAddress;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Gas, Slot};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;

fn config(server: &SignerServer) -> HttpSignerConfig {
    HttpSignerConfig {
        url: format!("http://{}/", server.address).parse().unwrap(),
        address: address(),
        identifier: None,
        authorization: HttpAuthorization::None,
        ca_file: None,
        client_identity: None,
        timeout: Duration::from_millis(500),
    }
}

fn signer(config: HttpSignerConfig) -> Signer {
    Signer::new(HttpSigner::new(config).unwrap())
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{text}").unwrap();
    file
}

fn reference(file: &NamedTempFile) -> SecretReference {
    SecretReference::File(file.path().into())
}

#[tokio::test]
async fn a_transaction_signed_elsewhere_is_the_one_that_the_key_itself_would_sign() {
    let server = SignerServer::start(None).await;
    let signer = signer(config(&server));
    assert!(signer.is_remote());
    let fee = FeeBid { max_fee_per_gas: Amount(9), max_priority_fee: Amount(3), gas_limit: Gas(21_000) };
    let (to, data) = (EvmAddress([7; 20]), vec![1, 2, 3]);
    let unsigned = Unsigned::new(5, Slot(4), &to, data.clone(), &fee);
    let signature = signer.sign(&unsigned.message()).await.unwrap();
    assert_eq!(unsigned.with_signature(signature), transaction::sign(&key(), 5, Slot(4), &to, data, &fee).unwrap());
    assert_eq!(server.asked(), 2, "the list of keys, then the signature");
    signer.sign(b"again").await.unwrap();
    assert_eq!(server.asked(), 3, "the list is asked for once");
}

#[tokio::test]
async fn a_configured_identifier_is_used_as_it_is() {
    let server = SignerServer::start(None).await;
    signer(HttpSignerConfig { identifier: Some(public_key()), ..config(&server) }).sign(b"message").await.unwrap();
    assert_eq!(server.asked(), 1);
    let error = signer(HttpSignerConfig { identifier: Some("../other".into()), ..config(&server) }).sign(b"message").await.unwrap_err();
    assert!(matches!(error, SignerError::Refused { .. }) && error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_signer_that_is_offline_silent_or_broken_is_waited_for() {
    let server = SignerServer::start(None).await;
    let signer = signer(config(&server));
    for reply in [Reply::Silence, Reply::Answer(500, "oops".into()), Reply::Answer(503, String::new()), Reply::Answer(429, String::new())] {
        server.reply(reply.clone());
        let error = signer.sign(b"message").await.unwrap_err();
        assert!(matches!(error, SignerError::Unreachable { .. }) && error.to_string().contains("signer offline"), "{reply:?}: {error}");
    }
    server.recover();
    signer.sign(b"message").await.unwrap();
    drop(server);
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(matches!(error, SignerError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn nonsense_and_signatures_of_others_are_refused_and_never_repeated() {
    let server = SignerServer::start(None).await;
    let signer = signer(config(&server));
    signer.sign(b"message").await.unwrap();
    let other = LocalKey::from_hex(&"55".repeat(32)).unwrap();
    let of_another = format!("0x{}", hex::encode(other.sign_rsv(&[7; 32]).unwrap()));
    let replies = [
        (200, of_another, "not one of"),
        (200, "hunter2".into(), "no signature of 65 bytes"),
        (200, format!("0x{}", "00".repeat(65)), "not one of"),
        (200, format!("0x{}", "ff".repeat(65)), "no signature"),
        (200, "hunter2".repeat(10_000), "longer than"),
        (302, "hunter2".into(), "HTTP status 302"),
        (400, "hunter2".into(), "HTTP status 400"),
        (403, "hunter2".into(), "does not let this client sign"),
        (404, "hunter2".into(), "no such key"),
    ];
    for (status, body, reason) in replies {
        server.reply(Reply::Answer(status, body));
        let error = signer.sign(b"message").await.unwrap_err();
        assert!(matches!(error, SignerError::Refused { .. } | SignerError::Wrong { .. }), "{error:?}");
        assert!(error.to_string().contains(reason) && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_signer_without_the_key_says_so() {
    let server = SignerServer::start(None).await;
    let error =
        signer(HttpSignerConfig { address: EvmAddress([9; 20]), ..config(&server) }).sign(b"message").await.unwrap_err().to_string();
    assert!(error.contains("none of its 3 keys is of 0x0909"), "{error}");
    server.reply(Reply::Answer(200, r#"{"keys": 1}"#.into()));
    let error = signer(config(&server)).sign(b"message").await.unwrap_err().to_string();
    assert!(error.contains("list of public keys is none"), "{error}");
}

#[tokio::test]
async fn tokens_and_passwords_let_in_and_are_never_shown() {
    let server = SignerServer::start(None).await;
    let (secret, wrong) = (file("hunter2"), file("hunter3"));
    server.require("Bearer hunter2");
    let bearer = |of: &NamedTempFile| HttpSignerConfig { authorization: HttpAuthorization::Bearer(reference(of)), ..config(&server) };
    let with_token = signer(bearer(&secret));
    with_token.sign(b"message").await.unwrap();
    assert!(!format!("{with_token:?} {}", with_token.describe()).contains("hunter"), "{with_token:?}");
    let error = signer(bearer(&wrong)).sign(b"message").await.unwrap_err().to_string();
    assert!(error.contains("check token") && !error.contains("hunter"), "{error}");
    // user:hunter2
    server.require("Basic dXNlcjpodW50ZXIy");
    let basic = HttpAuthorization::Basic { user: "user".into(), password: reference(&secret) };
    signer(HttpSignerConfig { authorization: basic, ..config(&server) }).sign(b"message").await.unwrap();
    let in_url = format!("http://user:hunter2@{}/", server.address).parse().unwrap();
    let in_url = signer(HttpSignerConfig { url: in_url, ..config(&server) });
    in_url.sign(b"message").await.unwrap();
    assert!(!format!("{in_url:?} {}", in_url.describe()).contains("hunter"), "{in_url:?}");
    let broken = file("hunter2\u{7}");
    let error = HttpSigner::new(bearer(&broken)).unwrap_err().to_string();
    assert!(error.contains("no header can have") && !error.contains("hunter"), "{error}");
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Issuer, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A server that only talks to clients of its own authority.
fn mutual(authority: &Issuer) -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let (certificate, key) = issue(authority, "127.0.0.1");
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(config.with_client_cert_verifier(clients).with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

#[tokio::test]
async fn with_tls_both_sides_prove_who_they_are() {
    let (ours, foreign) = (authority(), authority());
    let server = SignerServer::start(Some(mutual(&ours))).await;
    let identity = |authority: &Issuer| {
        let (certificate, key) = issue(authority, "relayer");
        file(&format!("{}{}", certificate.pem(), key.serialize_pem()))
    };
    let (ca, other_ca, client, stranger) = (file(&ours.pem()), file(&foreign.pem()), identity(&ours), identity(&foreign));
    let with = |ca: Option<&NamedTempFile>, client: Option<&NamedTempFile>| HttpSignerConfig {
        url: format!("https://{}", server.address).parse().unwrap(),
        ca_file: ca.map(|file| file.path().into()),
        client_identity: client.map(reference),
        ..config(&server)
    };
    signer(with(Some(&ca), Some(&client))).sign(b"message").await.unwrap();
    for wrong in [with(Some(&other_ca), Some(&client)), with(Some(&ca), None), with(Some(&ca), Some(&stranger)), with(None, Some(&client))]
    {
        let error = signer(wrong.clone()).sign(b"message").await.unwrap_err();
        assert!(matches!(error, SignerError::Unreachable { .. }), "{wrong:?}: {error}");
    }
    for (unusable, reason) in
        [(with(Some(&file("hunter2")), None), "holds no certificate"), (with(Some(&ca), Some(&ca)), "a certificate and its private key")]
    {
        let error = HttpSigner::new(unusable).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
    }
}
