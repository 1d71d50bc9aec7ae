//! `Core_version`'s SCALE bytes as the JSON of `state_getRuntimeVersion`.
use crate::scale::to_hex;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Decodes a `RuntimeVersion`; fails on bytes that end early. Lists and names are shorter than 64, as in every known runtime.
pub fn runtime_version(bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader(bytes);
    let (spec_name, impl_name) = (reader.text()?, reader.text()?);
    let (authoring, spec, implementation) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let mut apis = vec![];
    for _ in 0..reader.length()? {
        apis.push(json!([to_hex(reader.take(8)?), reader.u32()?]));
    }
    Ok(json!({
        "specName": spec_name, "implName": impl_name, "authoringVersion": authoring, "specVersion": spec, "implVersion": implementation,
        "apis": apis, "transactionVersion": reader.u32()?, "stateVersion": 1
    }))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).context("Core_version ends early")?;
        self.0 = rest;
        Ok(taken)
    }
    fn length(&mut self) -> Result<usize> {
        Ok(usize::from(self.take(1)?.first().copied().unwrap_or_default() >> 2))
    }
    fn text(&mut self) -> Result<String> {
        let length = self.length()?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_ends_early_is_an_error() {
        assert!(runtime_version(&[8, b'a']).is_err());
    }
}
