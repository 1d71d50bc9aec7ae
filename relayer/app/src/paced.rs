//! A recording whose blocks come one after the other, as somebody else releases them: what a demo without a node needs, where an
//! output has to be there before the block that ends its window.
//!
//! A file holds the highest released block as a decimal number. At its end the recording stands still, as a chain does.

use acurast_adapter_acurast::RecordedSource;
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::units::BlockNumber;
use async_trait::async_trait;
use std::path::PathBuf;
use std::time::Duration;

/// How often the file is looked at. A file wakes nobody.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A recording and the file that releases its blocks.
pub struct PacedRecording {
    source: RecordedSource,
    pace: PathBuf,
    /// Read from the recording, not released yet.
    next: Option<SourceBlock>,
}

impl PacedRecording {
    /// The blocks of `source`, each once the number in the file `pace` has reached it.
    pub fn new(source: RecordedSource, pace: PathBuf) -> Self {
        Self { source, pace, next: None }
    }

    /// The highest released block; nothing while the file is absent or only half written.
    fn released(&self) -> Option<BlockNumber> {
        let text = std::fs::read_to_string(&self.pace).ok()?;
        text.strip_suffix('\n')?.parse().ok().map(BlockNumber)
    }
}

#[async_trait]
impl Source for PacedRecording {
    fn chain(&self) -> &ChainId {
        self.source.chain()
    }

    fn genesis(&self) -> Genesis {
        self.source.genesis()
    }

    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        self.next = None;
        self.source.resume(after).await
    }

    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        // A caller that drops this future loses no block: it stays in `next` until it is handed over.
        let number = match &self.next {
            Some(block) => block.number,
            None => match self.source.next().await {
                Ok(block) => self.next.insert(block).number,
                Err(SourceError::End { .. }) => std::future::pending().await,
                Err(error) => return Err(error),
            },
        };
        while self.released().is_none_or(|released| released < number) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match self.next.take() {
            Some(block) => Ok(block),
            None => self.source.next().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use acurast_adapter_acurast::Recording;
    use std::sync::Arc;

    fn paced(pace: PathBuf) -> PacedRecording {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/acurast/tests/fixtures/lifecycle.jsonl");
        let recording = Recording::read(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
        PacedRecording::new(RecordedSource::new(Arc::new(recording)), pace)
    }

    async fn waits(source: &mut PacedRecording) -> bool {
        tokio::time::timeout(Duration::from_millis(100), source.next()).await.is_err()
    }

    #[tokio::test]
    async fn a_block_comes_once_its_height_is_released_and_none_is_lost_to_an_interrupted_wait() {
        let folder = tempfile::tempdir().unwrap();
        let pace = folder.path().join("height");
        let mut source = paced(pace.clone());
        assert!(waits(&mut source).await);
        std::fs::write(&pace, "2").unwrap();
        assert!(waits(&mut source).await, "a number without its newline may be half of one");
        std::fs::write(&pace, "2\n").unwrap();
        assert_eq!(source.next().await.unwrap().number, BlockNumber(1));
        assert_eq!(source.next().await.unwrap().number, BlockNumber(2));
        assert!(waits(&mut source).await);
        std::fs::write(&pace, "3\n").unwrap();
        assert_eq!(source.next().await.unwrap().number, BlockNumber(3));
    }

    #[tokio::test]
    async fn a_recording_that_is_over_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let pace = folder.path().join("height");
        std::fs::write(&pace, "1000\n").unwrap();
        let mut source = paced(pace);
        for number in 1..=35 {
            assert_eq!(source.next().await.unwrap().number, BlockNumber(number));
        }
        assert!(waits(&mut source).await);
    }
}
