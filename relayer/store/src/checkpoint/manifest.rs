//! What a checkpoint says of itself: whose state it is, how far it goes, and the files that it is made of.

use crate::database::Identity;
use acurast_events::bytes::{Genesis, StateHash};
use acurast_events::units::{Offset, Sequence, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

/// The form of the manifest; another one is of another version of this program.
pub const FORMAT: u32 = 1;
/// Most bytes of a manifest; one of ten thousand files has two megabytes.
pub(crate) const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// SHA-256 of a file's content, which is also its name in a place. Sixty-four hexadecimal digits for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of a file, read in pieces.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of_file(path: &Path) -> std::io::Result<(Self, u64)> {
        let mut file = std::fs::File::open(path)?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0u64, vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok((Self(hash.finalize().into()), bytes));
            }
            hash.update(piece.get(..read).unwrap_or_default());
            bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ContentHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hash = StateHash::from_str(&format!("0x{text}")).map_err(|_| format!("no SHA-256 in 64 hexadecimal digits: {text:?}"))?;
        // One hash has one name.
        let hash = Self(hash.0);
        if hash.to_string() == text { Ok(hash) } else { Err(format!("not in lower case: {text:?}")) }
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far one partition is folded in a checkpoint, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldedPartition {
    /// Full name of the topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The sequence of the next record to fold.
    pub next_sequence: Sequence,
    /// The offset to read on from.
    pub next_offset: Offset,
    /// Digest of the folded state.
    pub digest: StateHash,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointFile {
    /// Its name in the state directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: ContentHash,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// Prefix of the journal's topics.
    pub prefix: String,
    /// Version of keys and rows.
    pub schema: String,
    /// When it was taken, ms since the Unix epoch.
    pub taken: Timestamp,
    /// How far it goes.
    pub partitions: Vec<FoldedPartition>,
    /// What it is made of.
    pub files: Vec<CheckpointFile>,
}

/// Whether a manifest's file name stays inside the directory that it is restored to.
fn is_plain(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain)
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|error| format!("no manifest: {error}"))?;
        if version.format != FORMAT {
            return Err(format!("its format is {}, this version reads {FORMAT}", version.format));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| format!("no manifest: {error}"))?;
        let mut names = BTreeSet::new();
        match manifest.files.iter().find(|file| !is_plain(&file.name) || !names.insert(file.name.as_str())) {
            Some(file) => Err(format!("it names a file {:?}, which is no plain name or comes twice", file.name)),
            None => Ok(manifest),
        }
    }

    /// The manifest as it is kept.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Whether it is of the state that `identity` and `schema` name.
    ///
    /// # Errors
    /// Of what it is instead.
    pub fn fits(&self, identity: &Identity, schema: &str) -> Result<(), String> {
        if self.genesis != identity.genesis {
            Err(format!("it is of the Acurast chain with genesis {}", self.genesis))
        } else if self.prefix != identity.prefix {
            Err(format!("it is of topics {}*", self.prefix))
        } else if self.schema != schema {
            Err(format!("its schema is {}, this version reads {schema}", self.schema))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest(names: &[&str]) -> Manifest {
        let file = |name: &&str| CheckpointFile { name: (*name).to_owned(), bytes: 3, sha256: ContentHash([0xab; 32]) };
        Manifest {
            format: FORMAT,
            genesis: Genesis([7; 32]),
            prefix: "acurast.".into(),
            schema: "2.3".into(),
            taken: Timestamp(5),
            partitions: vec![FoldedPartition {
                topic: "acurast.jobs.v1".into(),
                partition: 0,
                next_sequence: Sequence(9),
                next_offset: Offset(12),
                digest: StateHash([1; 32]),
            }],
            files: names.iter().map(file).collect(),
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let manifest = manifest(&["CURRENT", "000012.sst"]);
        assert_eq!(Manifest::parse(&manifest.encode().unwrap()), Ok(manifest.clone()));
        assert_eq!(manifest.bytes(), 6);
        assert!(String::from_utf8(manifest.encode().unwrap()).unwrap().contains(&"ab".repeat(32)));
    }

    #[test]
    fn files_outside_of_the_directory_and_other_formats_are_refused() {
        for names in [&["../state/CURRENT"][..], &["/etc/passwd"], &[""], &[".hidden"], &["a", "a"]] {
            assert!(Manifest::parse(&manifest(names).encode().unwrap()).is_err(), "{names:?}");
        }
        let newer = Manifest { format: FORMAT + 1, ..manifest(&[]) };
        assert!(Manifest::parse(&newer.encode().unwrap()).unwrap_err().contains("format is 2"));
        assert!(Manifest::parse(b"{\"format\": 1}").is_err());
    }

    #[test]
    fn only_a_checkpoint_of_the_same_chain_topics_and_schema_fits() {
        let ours = Identity { genesis: Genesis([7; 32]), prefix: "acurast.".into() };
        assert_eq!(manifest(&[]).fits(&ours, "2.3"), Ok(()));
        assert!(manifest(&[]).fits(&ours, "2.4").unwrap_err().contains("schema"));
        assert!(manifest(&[]).fits(&Identity { prefix: "other.".into(), ..ours.clone() }, "2.3").unwrap_err().contains("topics"));
        assert!(manifest(&[]).fits(&Identity { genesis: Genesis([8; 32]), ..ours }, "2.3").unwrap_err().contains("genesis"));
    }

    #[test]
    fn a_file_s_hash_is_its_name_and_is_computed_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'a'; 200_000]).unwrap();
        let (hash, bytes) = ContentHash::of_file(&path).unwrap();
        assert_eq!(bytes, 200_000);
        assert_eq!(hash.0, <[u8; 32]>::from(Sha256::digest(vec![b'a'; 200_000])));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!(hash.to_string().to_uppercase().parse::<ContentHash>().is_err());
    }
}
