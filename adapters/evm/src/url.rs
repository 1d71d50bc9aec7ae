//! A node's URL that can't print its secrets.
//!
//! Providers put keys into the user part, the path, the query or the fragment, so only scheme, host and port are ever
//! shown. The whole URL leaves this type only towards the HTTP client.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is no endpoint URL. The text itself is not repeated: it may hold a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL.
    #[error("not a URL: {0}; expected http://host:port/… or https://host/…")]
    Malformed(String),
    /// Another scheme, or no host.
    #[error("an endpoint needs http or https and a host, got scheme {0:?}")]
    Unsupported(String),
}

/// URL of a JSON-RPC endpoint. `Display` and `Debug` show scheme, host and port, and `…` for whatever else it has.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(::url::Url);

impl EndpointUrl {
    /// The whole URL, for the HTTP client.
    pub fn expose(&self) -> &::url::Url {
        &self.0
    }
}

impl FromStr for EndpointUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = ::url::Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self(url))
        } else {
            Err(UrlError::Unsupported(url.scheme().chars().take(20).collect()))
        }
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or("?"))?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        let plain = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if plain { Ok(()) } else { f.write_str("/…") }
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Config is printed back by `config explain`: what is serialized is the redacted form.
impl Serialize for EndpointUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EndpointUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_scheme_host_and_port_is_ever_shown() {
        for text in [
            "https://user:hunter2@node.example:8443/v3/hunter2?key=hunter2#hunter2",
            "https://hunter2@node.example:8443",
            "https://node.example:8443/hunter2",
            "https://node.example:8443/?hunter2",
        ] {
            let url: EndpointUrl = text.parse().unwrap();
            for shown in [url.to_string(), format!("{url:?}"), serde_json::to_string(&url).unwrap()] {
                assert!(!shown.contains("hunter2"), "{shown}");
                assert!(shown.contains("https://node.example:8443/…"), "{shown}");
            }
        }
    }

    #[test]
    fn a_url_without_secrets_is_shown_whole() {
        assert_eq!("http://127.0.0.1:8545".parse::<EndpointUrl>().unwrap().to_string(), "http://127.0.0.1:8545");
    }

    #[test]
    fn a_malformed_url_is_refused_without_being_repeated() {
        for text in ["hunter2", "ftp://hunter2@host/", "http://", "ws://hunter2.example"] {
            let error = text.parse::<EndpointUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
