//! Where operators' commands are taken (R15).

use super::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The interface for operators' commands (R15). It is served only where a token is configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address to listen on.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The bearer token that a request must carry, 32 characters or more.
    pub token: Option<SecretRef>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9616)), token: None }
    }
}

impl AdminConfig {
    /// What is wrong with it, if anything: the key and the reason. `api` is the other interface's address.
    pub(super) fn fault(&self, api: SocketAddr) -> Option<(&'static str, &'static str)> {
        let token = self.token.as_ref()?;
        if token.reference().is_none() {
            Some(("token", "set exactly one of `file` and `env`"))
        } else if self.listen == api {
            Some(("listen", "is the address of `api.listen`; operators' commands have a listener of their own"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn commands_need_one_token_and_a_listener_of_their_own() {
        let api = SocketAddr::from(([127, 0, 0, 1], 9615));
        let token = |file: bool, env: bool| SecretRef { file: file.then(|| "token".into()), env: env.then(|| "TOKEN".into()) };
        let fault = |token, listen| AdminConfig { listen, token }.fault(api).map(|(name, _)| name);
        let own = AdminConfig::default().listen;
        assert_eq!(fault(None, api), None, "nothing is served without a token");
        assert_eq!(fault(Some(token(true, false)), own), None);
        assert_eq!(fault(Some(token(true, true)), own), Some("token"));
        assert_eq!(fault(Some(token(false, false)), own), Some("token"));
        assert_eq!(fault(Some(token(false, true)), api), Some("listen"));
    }
}
