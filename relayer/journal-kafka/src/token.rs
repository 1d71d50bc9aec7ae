//! Tokens for SASL OAUTHBEARER: read from where somebody keeps one, or asked for by client credentials.
//!
//! Called in the client library's polling threads, which are ours and may block for a moment.

use crate::config::{OidcConfig, SaslConfig};
use crate::secret::SecretReference;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How long a token is taken to live that doesn't say it.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// Longest answer of a token endpoint, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long a token endpoint may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The reference can't be read.
    #[error("the token or client secret can't be read: {0}; see journal.kafka.sasl")]
    Secret(String),
    /// The endpoint doesn't answer as it should.
    #[error("the token endpoint {url}: {reason}; check journal.kafka.sasl.oidc and what the endpoint knows of this client")]
    Endpoint {
        /// Its address, without query.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The token ran out and nobody renewed it.
    #[error("the token ran out {0} ms ago and wasn't renewed; renew what journal.kafka.sasl.token names, it is read again")]
    Expired(i64),
}

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    Kept(SecretReference),
    Granted(OidcConfig),
}

impl TokenSource {
    /// The source that `sasl` names, if any.
    pub(crate) fn of(sasl: Option<&SaslConfig>) -> Option<Self> {
        match sasl {
            Some(SaslConfig::Oauthbearer { token: Some(token), .. }) => Some(Self::Kept(token.clone())),
            Some(SaslConfig::Oauthbearer { oidc: Some(oidc), .. }) => Some(Self::Granted(oidc.clone())),
            Some(SaslConfig::Oauthbearer { .. } | SaslConfig::ScramSha256 { .. } | SaslConfig::ScramSha512 { .. }) | None => None,
        }
    }

    /// A token that is good now.
    pub(crate) fn fetch(&self) -> Result<OAuthToken, TokenError> {
        let now = now_ms();
        let (token, lives_ms) = match self {
            Self::Kept(reference) => (reference.read().map_err(TokenError::Secret)?, None),
            Self::Granted(oidc) => grant(oidc)?,
        };
        let said = claims(&token);
        let until_by_answer = lives_ms.map(|lives| now.saturating_add(lives));
        let until_unsaid = now.saturating_add(i64::try_from(LIFETIME_UNSAID.as_millis()).unwrap_or(i64::MAX));
        let lifetime_ms = said.exp.map(|exp| exp.saturating_mul(1_000)).or(until_by_answer).unwrap_or(until_unsaid);
        if lifetime_ms <= now {
            return Err(TokenError::Expired(now.saturating_sub(lifetime_ms)));
        }
        let principal_name = said.sub.unwrap_or_else(|| "acurast-relayer".to_owned());
        Ok(OAuthToken { token: token.as_str().to_owned(), principal_name, lifetime_ms })
    }
}

/// What a JWT says of itself; nothing of an opaque token. The broker judges it, this is for renewing it in time.
#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<i64>,
    sub: Option<String>,
}

fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: Option<i64>,
}

fn grant(oidc: &OidcConfig) -> Result<(Zeroizing<String>, Option<i64>), TokenError> {
    let mut shown = oidc.token_url.clone();
    shown.set_query(None);
    let failed = |reason: String| TokenError::Endpoint { url: shown.to_string(), reason };
    let secret = oidc.client_secret.read().map_err(TokenError::Secret)?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &oidc.scope {
        form.append_pair("scope", scope);
    }
    let body = form.finish();
    // A polling thread of the client library has no runtime of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
    let bytes = runtime.block_on(async {
        // Errors of the HTTP client name the whole URL; it is left out of them.
        let client = reqwest::Client::builder().timeout(ANSWER_TIME_MAX).build().map_err(|error| error.without_url().to_string())?;
        let request = client
            .post(oidc.token_url.clone())
            .basic_auth(&oidc.client_id, Some(secret.as_str()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let mut answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("answered {}", answer.status()));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(format!("answered more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    });
    let bytes = bytes.map_err(failed)?;
    // Parsing errors may quote what was parsed, so they aren't passed on.
    let granted: Granted = serde_json::from_slice(&bytes).map_err(|_| failed("the answer has no access_token".into()))?;
    Ok((Zeroizing::new(granted.access_token), granted.expires_in.map(|seconds| seconds.saturating_mul(1_000))))
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn kept(text: &str) -> (tempfile::TempDir, TokenSource) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, text).unwrap();
        (folder, TokenSource::Kept(SecretReference { file: Some(file), env: None }))
    }

    #[test]
    fn a_kept_token_lives_as_long_as_it_says() {
        let exp = now_ms() / 1_000 + 77;
        let (_folder, source) = kept(&jwt(&format!(r#"{{"exp":{exp},"sub":"somebody"}}"#)));
        let token = source.fetch().unwrap();
        assert_eq!((token.lifetime_ms, token.principal_name.as_str()), (exp * 1_000, "somebody"));
    }

    #[test]
    fn a_token_that_ran_out_is_refused_and_an_opaque_one_is_read_again_soon() {
        let (_folder, source) = kept(&jwt(r#"{"exp":1000}"#));
        assert!(matches!(source.fetch().map(|_| ()), Err(TokenError::Expired(_))));
        let (_folder, source) = kept("opaque");
        let lives = source.fetch().unwrap().lifetime_ms - now_ms();
        assert!((1..=300_000).contains(&lives), "{lives}");
    }

    /// Answers one request and returns it.
    fn endpoint(status: &'static str, body: &'static str) -> (u16, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4_096];
            while !String::from_utf8_lossy(&request).contains("grant_type=") {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (port, served)
    }

    fn granted(port: u16, folder: &std::path::Path) -> TokenSource {
        let file = folder.join("secret");
        std::fs::write(&file, "open sesame").unwrap();
        TokenSource::Granted(OidcConfig {
            token_url: format!("http://127.0.0.1:{port}/token?key=hidden").parse().unwrap(),
            client_id: "relayer".into(),
            client_secret: SecretReference { file: Some(file), env: None },
            scope: Some("kafka write".into()),
        })
    }

    #[test]
    fn client_credentials_are_exchanged_for_a_token() {
        // Cleartext needs no provider, but the client insists on one being there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (port, served) = endpoint("200 OK", r#"{"access_token":"opaque","expires_in":60}"#);
        let token = granted(port, folder.path()).fetch().unwrap();
        assert_eq!(token.token, "opaque");
        assert!((50_000..=60_000).contains(&(token.lifetime_ms - now_ms())));
        let request = served.join().unwrap();
        assert!(request.contains("grant_type=client_credentials&scope=kafka+write"), "{request}");
        assert!(request.to_ascii_lowercase().contains("authorization: basic cmvsyxllcjpvcgvuihnlc2ftzq=="), "{request}");
    }

    #[test]
    fn an_endpoint_that_refuses_is_named_without_its_query() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        for (status, body) in [("401 Unauthorized", "{}"), ("200 OK", r#"{"token":"sesame"}"#)] {
            let (port, served) = endpoint(status, body);
            let error = granted(port, folder.path()).fetch().map(|_| ()).unwrap_err().to_string();
            served.join().unwrap();
            assert!(error.contains("/token") && !error.contains("hidden") && !error.contains("sesame"), "{error}");
        }
    }
}
