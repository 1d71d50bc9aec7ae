//! Where checkpoints of the state are kept, outside of the volume that the state is on.

use super::{ConfigError, SecretRef};
use acurast_adapter_evm::{EndpointUrl, SecretReference};
use acurast_relayer_store::checkpoint::{CheckpointPlace, DirectoryPlace, PlaceError, S3Config, S3Place, S3Secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Checkpoints of the state. Without this section none are taken, and a lost state is folded from the journal's start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointsConfig {
    /// Where they are kept; each replica needs a place of its own.
    pub place: PlaceConfig,
    /// How often one is taken, in milliseconds.
    #[serde(default = "default_every_ms")]
    pub every_ms: u64,
    /// How many are kept.
    #[serde(default = "default_keep")]
    pub keep: NonZeroU32,
}

fn default_every_ms() -> u64 {
    600_000
}

fn default_keep() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}

/// Where checkpoints are kept: exactly one of these.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceConfig {
    /// A directory on another volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// A bucket of an S3-compatible service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3PlaceConfig>,
}

/// A bucket of an S3-compatible service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3PlaceConfig {
    /// URL of the service, such as `https://s3.eu-central-1.amazonaws.com`; the bucket's name goes into the path.
    #[schemars(with = "String")]
    pub endpoint: EndpointUrl,
    /// Name of the bucket.
    pub bucket: String,
    /// Region of the bucket.
    #[serde(default = "default_region")]
    pub region: String,
    /// What the names of all objects begin with; of one replica alone.
    #[serde(default)]
    pub prefix: String,
    /// Access key id.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Longest time of one request, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_region() -> String {
    "us-east-1".into()
}

fn default_timeout_ms() -> u64 {
    300_000
}

impl CheckpointsConfig {
    /// Checks what types can't say.
    ///
    /// # Errors
    /// The first key that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, reason: &str| Err(ConfigError::Invalid { key: format!("checkpoints.{key}"), reason: reason.to_owned() });
        if self.every_ms == 0 {
            return invalid("every_ms", "must be above 0");
        }
        match (&self.place.directory, &self.place.s3) {
            (Some(_), None) => Ok(()),
            (None, Some(s3)) if s3.access_key_id.reference().is_none() || s3.secret_access_key.reference().is_none() => {
                invalid("place.s3", "set exactly one of `file` and `env` for `access_key_id` and for `secret_access_key`")
            }
            (None, Some(s3)) if s3.bucket.is_empty() => invalid("place.s3.bucket", "must name a bucket"),
            (None, Some(s3)) if s3.timeout_ms == 0 => invalid("place.s3.timeout_ms", "must be above 0"),
            (None, Some(_)) => Ok(()),
            _ => invalid("place", "set exactly one of `directory` and `s3`"),
        }
    }

    /// The place.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn open(&self) -> Result<Arc<dyn CheckpointPlace>, PlaceError> {
        let fault = |reason: &str| PlaceError { place: "checkpoints.place".into(), what: "opening it".into(), reason: reason.to_owned() };
        match (&self.place.directory, &self.place.s3) {
            (Some(directory), None) => Ok(Arc::new(DirectoryPlace::new(directory.clone()))),
            (None, Some(s3)) => {
                let references = s3.access_key_id.reference().zip(s3.secret_access_key.reference());
                let references = references.ok_or_else(|| fault("a credential is no reference"))?;
                Ok(Arc::new(S3Place::new(S3Config {
                    endpoint: s3.endpoint.expose().clone(),
                    bucket: s3.bucket.clone(),
                    region: s3.region.clone(),
                    prefix: s3.prefix.clone(),
                    timeout: Duration::from_millis(s3.timeout_ms),
                    secrets: secrets(references),
                })?))
            }
            _ => Err(fault("it is not exactly one place")),
        }
    }

    /// How often one is taken.
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }
}

/// Reads the credentials anew each time: they may be exchanged while the relayer runs.
fn secrets((id, key): (SecretReference, SecretReference)) -> S3Secrets {
    Arc::new(move || {
        let read = |reference: &SecretReference| reference.read().map_err(|error| error.to_string());
        Ok((read(&id)?, read(&key)?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<CheckpointsConfig, String> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        let parsed = config::Config::builder().add_source(source).build().and_then(config::Config::try_deserialize::<CheckpointsConfig>);
        let parsed = parsed.map_err(|error| error.to_string())?;
        parsed.check().map_err(|error| error.to_string())?;
        Ok(parsed)
    }

    const KEYS: &str = "access_key_id = { file = 'id' }, secret_access_key = { env = 'KEY' }";

    #[test]
    fn a_place_is_a_directory_or_a_bucket_and_shows_no_secret() {
        // The first provider that a process installs stands; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = parse("place = { directory = '/backup/relayer-0' }").unwrap();
        assert_eq!((directory.every(), directory.keep.get()), (Duration::from_secs(600), 5));
        assert_eq!(directory.open().unwrap().describe(), "directory /backup/relayer-0");
        let text = format!(
            "every_ms = 1000\nplace = {{ s3 = {{ endpoint = 'https://user:hunter2@s3.example/hunter2', bucket = 'b', prefix = 'relayer-0/', {KEYS} }} }}"
        );
        let bucket = parse(&text).unwrap();
        assert_eq!(bucket.open().unwrap().describe(), "bucket b at https://s3.example, relayer-0/*");
        assert!(!serde_json::to_string(&bucket).unwrap().contains("hunter2"));
    }

    #[test]
    fn half_a_place_two_places_and_unknown_keys_are_refused() {
        let s3 = |more: &str| format!("place = {{ s3 = {{ endpoint = 'https://s3.example', {more} }} }}");
        for (text, reason) in [
            ("place = {}".to_owned(), "exactly one of `directory` and `s3`"),
            (format!("place = {{ directory = 'a', s3 = {{ endpoint = 'https://s3.example', bucket = 'b', {KEYS} }} }}"), "exactly one"),
            (s3("bucket = 'b', access_key_id = {}, secret_access_key = { env = 'KEY' }"), "exactly one of `file` and `env`"),
            (s3(&format!("bucket = '', {KEYS}")), "must name a bucket"),
            ("every_ms = 0\nplace = { directory = 'a' }".to_owned(), "above 0"),
            ("keep = 0\nplace = { directory = 'a' }".to_owned(), "keep"),
            ("place = { directory = 'a', bucket = 'b' }".to_owned(), "unknown field"),
        ] {
            let error = parse(&text).err().unwrap();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
