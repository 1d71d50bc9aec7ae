//! Secrets by reference (R14): the configuration says where one is, and only a client that connects reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a secret is: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretReference {
    /// File that holds it, readable by the relayer only; a line end after it is not part of it.
    pub file: Option<PathBuf>,
    /// Environment variable that holds it.
    pub env: Option<String>,
}

impl SecretReference {
    /// The secret itself. Read anew each time, so that a rotated one is seen.
    ///
    /// # Errors
    /// Says which file or variable can't be read; never what is in it.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, String> {
        let text = match (&self.file, &self.env) {
            (Some(file), None) => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
            (None, Some(name)) => std::env::var(name).map_err(|_| format!("environment variable {name} is not set, or not text"))?,
            _ => return Err("exactly one of `file` and `env` must be set".into()),
        };
        let text = Zeroizing::new(text);
        let trimmed = text.trim_end_matches(['\r', '\n']);
        if trimmed.is_empty() {
            return Err("the secret is empty".into());
        }
        Ok(Zeroizing::new(trimmed.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "open sesame\r\n").unwrap();
        let reference = SecretReference { file: Some(file.clone()), env: None };
        assert_eq!(*reference.read().unwrap(), "open sesame");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(reference.read().unwrap_err(), "the secret is empty");
        std::fs::remove_file(&file).unwrap();
        assert!(reference.read().unwrap_err().starts_with(file.to_str().unwrap()));
    }

    #[test]
    fn a_reference_to_nothing_or_to_two_places_is_refused() {
        for (file, env) in [(None, None), (Some(PathBuf::from("a")), Some("B".to_owned()))] {
            assert!(SecretReference { file, env }.read().is_err());
        }
    }
}
