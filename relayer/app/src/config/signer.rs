//! How a signing key is named in the configuration: one of four ways, with secrets by reference.

use super::SecretRef;
use acurast_adapter_evm::{EndpointUrl, HttpAuthorization, HttpSignerConfig, Keystore, SecretReference};
use acurast_events::bytes::EvmAddress;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A signing key: exactly one of `file`, `env`, `keystore` with `password`, `web3signer`, and `aws_kms`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// File with the key, 0x and 64 hexadecimal digits, readable by the relayer only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Environment variable with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Encrypted key file (Web3 Secret Storage version 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore: Option<PathBuf>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// A signer that speaks Web3Signer's eth1 interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web3signer: Option<Web3SignerConfig>,
    /// A key in the AWS key management service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_kms: Option<AwsKmsConfig>,
}

/// A signer that speaks Web3Signer's eth1 interface.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Web3SignerConfig {
    /// Its address; shown without path and user everywhere.
    #[schemars(with = "String")]
    pub url: EndpointUrl,
    /// The key's address. Signatures of other keys are refused.
    #[schemars(with = "String")]
    pub address: EvmAddress,
    /// What the signer calls the key; absent: its public key, looked up in the signer's list by the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<SecretRef>,
    /// User of basic authentication; with `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password of basic authentication; with `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Certificates in PEM that the signer's own has to come from; absent: those that the host trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Client certificate and its private key, in PEM, in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_identity: Option<SecretRef>,
    /// Time limit of one request, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// A key in the AWS key management service; credentials as AWS programs find them. Needs a build with the feature `aws-kms`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsKmsConfig {
    /// Key id or ARN.
    pub key_id: String,
    /// Region, such as `eu-central-1`.
    pub region: String,
    /// The key's address. Signatures of other keys are refused.
    #[schemars(with = "String")]
    pub address: EvmAddress,
    /// Another endpoint than the region's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<EndpointUrl>,
    /// Time limit of one request, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_timeout_ms() -> u64 {
    10_000
}

/// What a [`SignerConfig`] means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerKind {
    /// A key by reference.
    Key(SecretReference),
    /// An encrypted key file.
    Keystore(Keystore),
    /// An HTTP signer.
    Http(Box<HttpSignerConfig>),
    /// A key of AWS KMS.
    #[cfg(feature = "aws-kms")]
    Kms(acurast_adapter_evm::KmsConfig),
}

impl SignerConfig {
    /// What is meant, if it is exactly one thing.
    ///
    /// # Errors
    /// What is wrong, in words for whoever wrote the file.
    pub fn kind(&self) -> Result<SignerKind, &'static str> {
        let Self { file, env, keystore, password, web3signer, aws_kms } = self;
        match (file, env, keystore, password, web3signer, aws_kms) {
            (Some(file), None, None, None, None, None) => Ok(SignerKind::Key(SecretReference::File(file.clone()))),
            (None, Some(name), None, None, None, None) => Ok(SignerKind::Key(SecretReference::Env(name.clone()))),
            (None, None, Some(path), Some(password), None, None) => {
                let password = password.reference().ok_or("password: set exactly one of `file` and `env`")?;
                Ok(SignerKind::Keystore(Keystore { path: path.clone(), password }))
            }
            (None, None, None, None, Some(http), None) => http.meant().map(|http| SignerKind::Http(Box::new(http))),
            (None, None, None, None, None, Some(kms)) => kms.meant(),
            _ => Err("set exactly one of `file`, `env`, `keystore` with `password`, `web3signer`, and `aws_kms`"),
        }
    }

    /// Which signer it is, for people.
    pub fn describe(&self) -> String {
        match self.kind() {
            Ok(SignerKind::Key(reference)) => format!("key in {reference}"),
            Ok(SignerKind::Keystore(keystore)) => format!("keystore {}", keystore.path.display()),
            Ok(SignerKind::Http(http)) => format!("web3signer {} for {}", http.url, http.address),
            #[cfg(feature = "aws-kms")]
            Ok(SignerKind::Kms(kms)) => format!("AWS KMS key {} in {} for {}", kms.key_id, kms.region, kms.address),
            Err(reason) => reason.to_owned(),
        }
    }
}

impl Web3SignerConfig {
    fn meant(&self) -> Result<HttpSignerConfig, &'static str> {
        const ONE: &str = "set exactly one of `file` and `env` for each secret of `web3signer`";
        let authorization = match (&self.bearer_token, &self.user, &self.password) {
            (None, None, None) => HttpAuthorization::None,
            (Some(token), None, None) => HttpAuthorization::Bearer(token.reference().ok_or(ONE)?),
            (None, Some(user), Some(password)) => {
                HttpAuthorization::Basic { user: user.clone(), password: password.reference().ok_or(ONE)? }
            }
            _ => return Err("web3signer: set `bearer_token`, or `user` with `password`, or none of them"),
        };
        let client_identity = self.client_identity.as_ref().map(|identity| identity.reference().ok_or(ONE)).transpose()?;
        Ok(HttpSignerConfig {
            url: self.url.clone(),
            address: self.address,
            identifier: self.identifier.clone(),
            authorization,
            ca_file: self.ca_file.clone(),
            client_identity,
            timeout: timeout(self.timeout_ms)?,
        })
    }
}

impl AwsKmsConfig {
    #[cfg(feature = "aws-kms")]
    fn meant(&self) -> Result<SignerKind, &'static str> {
        Ok(SignerKind::Kms(acurast_adapter_evm::KmsConfig {
            key_id: self.key_id.clone(),
            region: self.region.clone(),
            address: self.address,
            endpoint: self.endpoint.clone(),
            timeout: timeout(self.timeout_ms)?,
        }))
    }

    #[cfg(not(feature = "aws-kms"))]
    fn meant(&self) -> Result<SignerKind, &'static str> {
        Err("this program was built without AWS KMS; build it with `--features aws-kms`")
    }
}

fn timeout(milliseconds: u64) -> Result<Duration, &'static str> {
    if milliseconds == 0 { Err("timeout_ms must be above 0") } else { Ok(Duration::from_millis(milliseconds)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SignerConfig, config::ConfigError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        config::Config::builder().add_source(source).build().and_then(config::Config::try_deserialize)
    }

    const ADDRESS: &str = "0xfe3b557e8fb62b89f4916b721be55ceb828dbd73";

    #[test]
    fn each_way_to_name_a_key_is_taken_alone() {
        let web3signer = format!(
            "web3signer = {{ url = 'https://hunter2@signer.example/hunter2', address = '{ADDRESS}', bearer_token = {{ file = 'token' }} }}"
        );
        let ways = [
            ("file = 'lane.key'", "key in file lane.key"),
            ("env = 'LANE_KEY'", "key in environment variable LANE_KEY"),
            ("keystore = 'lane.json'\npassword = { env = 'LANE_PASSWORD' }", "keystore lane.json"),
            (web3signer.as_str(), "web3signer https://signer.example/… for 0xfe3b557e8fb62b89f4916b721be55ceb828dbd73"),
        ];
        for (index, (text, description)) in ways.iter().enumerate() {
            let signer = parse(text).unwrap();
            assert_eq!(signer.describe(), *description);
            assert!(signer.kind().is_ok());
            assert!(!serde_json::to_string(&signer).unwrap().contains("hunter2"));
            let (other, _) = ways[(index + 1) % ways.len()];
            assert!(parse(&format!("{text}\n{other}")).unwrap().kind().unwrap_err().contains("exactly one"), "{text} {other}");
        }
        assert!(parse("").unwrap().kind().is_err());
    }

    #[test]
    fn half_a_configuration_and_unknown_keys_are_refused() {
        let http = |more: &str| format!("web3signer = {{ url = 'https://signer.example', address = '{ADDRESS}'{more} }}");
        for text in [
            "keystore = 'lane.json'".to_owned(),
            "password = { file = 'x' }".to_owned(),
            "keystore = 'lane.json'\npassword = {}".to_owned(),
            http(", user = 'relayer'"),
            http(", user = 'relayer', password = { file = 'a' }, bearer_token = { file = 'b' }"),
            http(", bearer_token = { file = 'a', env = 'B' }"),
            http(", timeout_ms = 0"),
        ] {
            assert!(parse(&text).unwrap().kind().is_err(), "{text}");
        }
        for text in ["key = '0x01'".to_owned(), http(", token = 'hunter2'"), "web3signer = { url = 'https://signer.example' }".to_owned()] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_of_kms_needs_a_build_that_has_it() {
        let text = format!("aws_kms = {{ key_id = '1234', region = 'eu-central-1', address = '{ADDRESS}' }}");
        let signer = parse(&text).unwrap();
        if cfg!(feature = "aws-kms") {
            assert_eq!(signer.describe(), format!("AWS KMS key 1234 in eu-central-1 for {ADDRESS}"));
        } else {
            assert!(signer.kind().unwrap_err().contains("--features aws-kms"));
        }
    }
}
