//! A key in a key management service: moto's, which speaks the AWS interface and signs with real ECDSA, in a process of ours.

use acurast_adapter_evm::{KmsConfig, KmsSigner, Signer, SignerError};
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REGION: &str = "eu-central-1";

struct Moto {
    child: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Only our own child; an error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `deploy/setup.sh --moto` puts it.
fn program() -> PathBuf {
    let cache = std::env::var("ACURAST_CACHE_DIR").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache/acurast-relayer"));
    cache.join("moto/bin/python")
}

impl Moto {
    fn start() -> Self {
        // The first provider that a process installs stands; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = program();
        assert!(program.exists(), "{} is missing: run deploy/setup.sh --moto", program.display());
        let mut child = Command::new(program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signers/kms_server.py"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.ok()?.split_once("Running on http://")?.1.trim().to_owned())).expect("moto listens");
        // It logs every request; somebody has to take it, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://{address}") }
    }

    /// One request of the AWS interface, as an administrator.
    async fn ask(&self, action: &str, body: Value) -> Value {
        let scope = format!("AWS4-HMAC-SHA256 Credential=admin/20260101/{REGION}/kms/aws4_request, SignedHeaders=host, Signature=0");
        let request = reqwest::Client::new().post(&self.url).header("X-Amz-Target", format!("TrentService.{action}"));
        let request = request.header("Content-Type", "application/x-amz-json-1.1").header("Authorization", scope).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// A new key; its id and address.
    async fn create_key(&self) -> (String, EvmAddress) {
        let created = self.ask("CreateKey", json!({ "KeySpec": "ECC_SECG_P256K1", "KeyUsage": "SIGN_VERIFY" })).await;
        let id = created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
        let public = self.ask("GetPublicKey", json!({ "KeyId": id })).await;
        let der = aws_smithy_types::base64::decode(public["PublicKey"].as_str().unwrap()).unwrap();
        // The point is the last thing of the structure.
        let hash = keccak(&[&der[der.len() - 64..]]);
        (id, EvmAddress(*hash.last_chunk::<20>().unwrap()))
    }

    fn signer(&self, key_id: &str, address: EvmAddress) -> Signer {
        let config = KmsConfig {
            key_id: key_id.to_owned(),
            region: REGION.into(),
            address,
            endpoint: Some(self.url.parse().unwrap()),
            timeout: Duration::from_secs(5),
        };
        Signer::new(KmsSigner::new(config).unwrap())
    }
}

/// Credentials come from the environment, as `make test-kms` sets them.
#[tokio::test]
async fn a_kms_key_signs_what_its_address_verifies_and_nothing_else() {
    let moto = Moto::start();
    let (id, address) = moto.create_key().await;
    let signer = moto.signer(&id, address);
    assert!(signer.is_remote() && signer.describe().contains(&id));
    // `Signer` recovers the address and refuses high s; ten messages so that a high s of KMS is among them.
    for message in 0..10_u8 {
        signer.sign(&[message; 66]).await.unwrap();
    }

    let (other, _) = moto.create_key().await;
    let error = moto.signer(&other, address).sign(b"message").await.unwrap_err();
    assert!(matches!(error, SignerError::Refused { .. }) && error.to_string().contains("the key is of 0x"), "{error}");

    let error = moto.signer("00000000-0000-0000-0000-000000000000", address).sign(b"message").await.unwrap_err();
    assert!(matches!(error, SignerError::Refused { .. }) && error.to_string().contains("NotFoundException"), "{error}");

    drop(moto);
    let error = signer.sign(b"message").await.unwrap_err();
    assert!(matches!(error, SignerError::Unreachable { .. }) && error.to_string().contains("signer offline"), "{error}");
}
