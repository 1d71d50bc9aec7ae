//! moto's S3, a server of another make, in a process of ours (`deploy/setup.sh --moto`).

use acurast_relayer_store::checkpoint::{S3Config, S3Place};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

pub(crate) const ID: &str = "AKIAOFTHETESTS";
pub(crate) const SECRET: &str = "the-secret-key-of-the-tests";
const BUCKET: &str = "checkpoints-of-relayers";
const REGION: &str = "eu-central-1";

/// The server, as long as this lives.
pub(crate) struct Moto {
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

impl Moto {
    /// The server with an empty bucket; nothing where it isn't installed, which fails where it must be.
    pub(crate) async fn start() -> Option<Self> {
        // The first provider that a process installs stands; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Ok(program) = std::env::var("ACURAST_MOTO") else {
            let why = "no S3 server: run deploy/setup.sh --moto, and set ACURAST_MOTO";
            assert_ne!(std::env::var("ACURAST_NODES").as_deref(), Ok("required"), "{why}");
            eprintln!("NOT TESTED ON A BUCKET: {why}");
            return None;
        };
        let mut child = Command::new(program)
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
        let moto = Self { child, url: format!("http://{address}") };
        let bucket = Bucket::new(moto.url.parse().unwrap(), UrlStyle::Path, BUCKET, REGION).unwrap();
        let create = bucket.create_bucket(&Credentials::new(ID, SECRET)).sign(Duration::from_secs(60));
        let region = format!("<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>");
        let created = reqwest::Client::new().put(create).body(region).send().await.unwrap();
        assert!(created.status().is_success(), "{}", created.text().await.unwrap());
        Some(moto)
    }

    pub(crate) fn config(&self, prefix: &str) -> S3Config {
        S3Config {
            endpoint: self.url.parse().unwrap(),
            bucket: BUCKET.into(),
            region: REGION.into(),
            prefix: prefix.into(),
            timeout: Duration::from_secs(20),
            secrets: Arc::new(|| Ok((Zeroizing::new(ID.into()), Zeroizing::new(SECRET.into())))),
        }
    }

    pub(crate) fn place(&self, prefix: &str) -> S3Place {
        S3Place::new(self.config(prefix)).unwrap()
    }
}
