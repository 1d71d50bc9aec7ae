//! Checkpoints in a directory, such as a mounted network volume.
//!
//! Crash argument: everything is written under a temporary name, synced, renamed, and the directory synced. Crash before the
//! rename: a temporary file, which the next pruning removes. Crash after it: the file is whole.

use super::manifest::{ContentHash, MANIFEST_BYTES_MAX};
use super::place::{CheckpointPlace, PlaceError};
use async_trait::async_trait;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const FILES: &str = "files";
const MANIFESTS: &str = "checkpoints";
/// What is being written has this end; nothing else does.
const BEING_WRITTEN: &str = "tmp";

/// A directory that keeps checkpoints.
#[derive(Debug, Clone)]
pub struct DirectoryPlace {
    root: PathBuf,
}

impl DirectoryPlace {
    /// The place in directory `root`, which is made when something is put there.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn file(&self, hash: ContentHash) -> PathBuf {
        self.root.join(FILES).join(hash.to_string())
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.root.join(MANIFESTS).join(name)
    }

    /// Runs what blocks on a thread where it may.
    async fn run<T: Send + 'static>(&self, what: String, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, PlaceError> {
        let result = match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        result.map_err(|reason| PlaceError { place: self.describe(), what, reason })
    }
}

/// The entries of a directory; none where it isn't there yet.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names: io::Result<Vec<_>> = found.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names?;
    names.sort();
    Ok(names)
}

fn is_being_written(name: &str) -> bool {
    Path::new(name).extension() == Some(OsStr::new(BEING_WRITTEN))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes `path` whole or not at all.
fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(BEING_WRITTEN);
    let mut out = File::create(&beside)?;
    write(&mut out)?;
    out.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[async_trait]
impl CheckpointPlace for DirectoryPlace {
    fn describe(&self) -> String {
        format!("directory {}", self.root.display())
    }

    async fn names(&self) -> Result<Vec<String>, PlaceError> {
        let folder = self.root.join(MANIFESTS);
        let names = self.run("listing checkpoints".into(), move || entries(&folder)).await?;
        Ok(names.into_iter().filter(|name| !is_being_written(name)).collect())
    }

    async fn manifest(&self, name: &str) -> Result<Vec<u8>, PlaceError> {
        let path = self.manifest_path(name);
        self.run(format!("reading {name}"), move || {
            let mut bytes = Vec::new();
            let limit = u64::try_from(MANIFEST_BYTES_MAX).unwrap_or(u64::MAX);
            File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
            if bytes.len() > MANIFEST_BYTES_MAX { Err(io::Error::other("longer than any manifest")) } else { Ok(bytes) }
        })
        .await
    }

    async fn put_manifest(&self, name: &str, bytes: Vec<u8>) -> Result<(), PlaceError> {
        let path = self.manifest_path(name);
        self.run(format!("writing {name}"), move || put(&path, |out| out.write_all(&bytes))).await
    }

    async fn remove_manifest(&self, name: &str) -> Result<(), PlaceError> {
        let path = self.manifest_path(name);
        self.run(format!("removing {name}"), move || remove(&path)).await
    }

    async fn files(&self) -> Result<Vec<ContentHash>, PlaceError> {
        let folder = self.root.join(FILES);
        let names = self
            .run("listing files".into(), move || {
                let names = entries(&folder)?;
                // Only one relayer writes here, and it lists when it writes nothing: these are left from a crash.
                for name in names.iter().filter(|name| is_being_written(name)) {
                    remove(&folder.join(name))?;
                }
                Ok(names)
            })
            .await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn has_file(&self, hash: ContentHash, bytes: u64) -> Result<bool, PlaceError> {
        let path = self.file(hash);
        self.run(format!("looking for file {hash}"), move || match fs::metadata(path) {
            Ok(found) => Ok(found.len() == bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    async fn put_file(&self, hash: ContentHash, bytes: u64, from: &Path) -> Result<(), PlaceError> {
        let (path, from) = (self.file(hash), from.to_owned());
        self.run(format!("writing file {hash}"), move || {
            put(&path, |out| {
                let copied = io::copy(&mut File::open(&from)?, out)?;
                if copied == bytes { Ok(()) } else { Err(io::Error::other(format!("{copied} bytes instead of {bytes}"))) }
            })
        })
        .await
    }

    async fn get_file(&self, hash: ContentHash, bytes: u64, to: &Path, told: &(dyn Fn(u64) + Send + Sync)) -> Result<(), PlaceError> {
        let (path, to) = (self.file(hash), to.to_owned());
        self.run(format!("reading file {hash}"), move || {
            let mut out = File::create(&to)?;
            // No more than it should have, whatever it grew to.
            io::copy(&mut File::open(&path)?.take(bytes.saturating_add(1)), &mut out)?;
            out.sync_all()
        })
        .await?;
        told(bytes);
        Ok(())
    }

    async fn remove_file(&self, hash: ContentHash) -> Result<(), PlaceError> {
        let path = self.file(hash);
        self.run(format!("removing file {hash}"), move || remove(&path)).await
    }
}
