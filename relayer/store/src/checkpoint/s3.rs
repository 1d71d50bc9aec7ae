//! Checkpoints in a bucket of an S3-compatible service.
//!
//! Requests are signed by rusty-s3 and sent by the HTTP client that the rest of the relayer uses. A signed URL is as good as
//! the key for a while, so URLs are in no log and no error. Memory is bounded: files go up in parts of [`PART_BYTES`], come
//! down in pieces; every request is repeated a few times, and only where repeating can help.
//!
//! Crash argument: an object is whole or absent (a multipart upload that isn't completed is none), and the manifest goes up
//! last. What a crash leaves of an upload in parts is hidden and costs space: give the bucket a lifecycle rule that ends
//! incomplete uploads.

use super::manifest::{ContentHash, MANIFEST_BYTES_MAX};
use super::place::{CheckpointPlace, PlaceError};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload, ListObjectsV2};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;
use zeroize::Zeroizing;

/// Bytes of a part; a shorter file goes up in one request. S3 takes ten thousand parts of at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// How long a signed URL holds.
const SIGNED_FOR: Duration = Duration::from_secs(900);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A request is repeated at most so often.
const RETRIES_MAX: usize = 5;
/// Answers other than files and manifests; a page of a listing has a thousand names.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Pages of a listing; far more than a place of checkpoints has.
const PAGES_MAX: usize = 1_000;

/// Access key id and secret access key, read anew for each operation, so that they can be exchanged while the relayer runs.
pub type S3Secrets = Arc<dyn Fn() -> Result<(Zeroizing<String>, Zeroizing<String>), String> + Send + Sync>;

/// Which bucket, and how it is reached.
#[derive(Clone)]
pub struct S3Config {
    /// The service's URL. The bucket's name goes into the path, as all compatible services take it.
    pub endpoint: Url,
    /// Name of the bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// What the names of all objects begin with; of one replica alone.
    pub prefix: String,
    /// Longest time of one request.
    pub timeout: Duration,
    /// The credentials.
    pub secrets: S3Secrets,
}

/// A bucket that keeps checkpoints.
pub struct S3Place {
    bucket: Bucket,
    client: Client,
    prefix: String,
    host: String,
    secrets: S3Secrets,
}

/// Why one attempt failed.
enum Failure {
    /// Trying again may help.
    Passing(String),
    /// It won't.
    Lasting(String),
}

impl S3Place {
    /// A client of the bucket. Nothing is asked yet.
    ///
    /// # Errors
    /// When the endpoint is no HTTP URL, or TLS can't be used.
    pub fn new(config: S3Config) -> Result<Self, PlaceError> {
        let host = config.endpoint.origin().ascii_serialization();
        let fault = |reason: String| PlaceError { place: host.clone(), what: "opening the bucket".into(), reason };
        let client = Client::builder().connect_timeout(CONNECT_WITHIN).timeout(config.timeout).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| fault(error.without_url().to_string()))?;
        let bucket = Bucket::new(config.endpoint, UrlStyle::Path, config.bucket, config.region);
        let bucket = bucket.map_err(|error| fault(error.to_string()))?;
        let prefix = match config.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self { bucket, client, prefix, host, secrets: config.secrets })
    }

    fn error(&self, what: &str, reason: String) -> PlaceError {
        PlaceError { place: self.describe(), what: what.to_owned(), reason }
    }

    fn file(&self, hash: ContentHash) -> String {
        format!("{}files/{hash}", self.prefix)
    }

    fn manifest_key(&self, name: &str) -> String {
        format!("{}checkpoints/{name}", self.prefix)
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        let (id, secret) = (self.secrets)().map_err(Failure::Lasting)?;
        Ok(Credentials::new(id.as_str(), secret.as_str()))
    }

    /// Tries until it works, can't work, or was tried often enough.
    async fn trying<T, Attempt: Future<Output = Result<T, Failure>>>(
        &self,
        what: &str,
        attempt: impl Fn() -> Attempt,
    ) -> Result<T, PlaceError> {
        let delays = ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).with_max_times(RETRIES_MAX);
        let mut delays = delays.with_jitter().build();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(Failure::Lasting(reason)) => return Err(self.error(what, reason)),
                Err(Failure::Passing(reason)) => match delays.next() {
                    Some(delay) => {
                        tracing::debug!(place = self.describe(), what, reason, "trying again");
                        tokio::time::sleep(delay).await;
                    }
                    None => return Err(self.error(what, format!("{reason}, after {RETRIES_MAX} repetitions"))),
                },
            }
        }
    }

    /// Sends a request; nothing: what it names isn't there.
    async fn send(&self, request: RequestBuilder) -> Result<Option<Response>, Failure> {
        // The signature is in the URL.
        let answer = request.send().await.map_err(|error| passing(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Some(answer));
        }
        // The text of a refusal repeats the access key and what was signed: its code says enough.
        let refusal = text(answer).await.unwrap_or_default();
        let code = code_of(&refusal);
        if status == StatusCode::NOT_FOUND {
            // An absent bucket isn't an absent object.
            return if code == "NoSuchBucket" { Err(Failure::Lasting("there is no such bucket".into())) } else { Ok(None) };
        }
        let reason = match code {
            "" => format!("answered {status}"),
            code => format!("answered {status}, {code}"),
        };
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
        Err(if passes { Failure::Passing(reason) } else { Failure::Lasting(format!("{reason}; check credentials, rights and region")) })
    }

    /// The names of the objects whose name begins with `folder`, without it, in ascending order.
    async fn list(&self, folder: &str) -> Result<Vec<String>, PlaceError> {
        let (what, prefix) = (format!("listing {folder}"), format!("{}{folder}/", self.prefix));
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.trying(&what, || async {
                let credentials = self.credentials()?;
                let mut action = self.bucket.list_objects_v2(Some(&credentials));
                action.with_prefix(prefix.as_str());
                if let Some(token) = &token {
                    action.with_continuation_token(token.as_str());
                }
                let answer = self.send(self.client.get(action.sign(SIGNED_FOR))).await?;
                let answer = answer.ok_or_else(|| Failure::Lasting("answered 404".into()))?;
                let body = text(answer).await?;
                ListObjectsV2::parse_response(&body).map_err(|error| Failure::Lasting(format!("a listing can't be read: {error}")))
            });
            let page = page.await?;
            names.extend(page.contents.iter().filter_map(|object| object.key.strip_prefix(&prefix).map(str::to_owned)));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => {
                    names.sort();
                    return Ok(names);
                }
            }
        }
        Err(self.error(&what, format!("more than {PAGES_MAX} pages; something else is in the place")))
    }

    async fn put(&self, what: &str, key: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        self.trying(what, || async {
            let credentials = self.credentials()?;
            let url = self.bucket.put_object(Some(&credentials), key).sign(SIGNED_FOR);
            // Some clients leave the length of an empty body out; S3 wants it.
            let request = self.client.put(url).header(CONTENT_LENGTH, bytes.len()).body(bytes.to_vec());
            self.send(request).await?.map(drop).ok_or_else(|| Failure::Lasting("answered 404".into()))
        })
        .await
    }

    async fn delete(&self, what: &str, key: &str) -> Result<(), PlaceError> {
        self.trying(what, || async {
            let credentials = self.credentials()?;
            self.send(self.client.delete(self.bucket.delete_object(Some(&credentials), key).sign(SIGNED_FOR))).await.map(drop)
        })
        .await
    }

    /// Uploads a long file in parts, each of which is repeated on its own.
    async fn put_parts(&self, what: &str, key: &str, file: &mut File, bytes: u64) -> Result<(), PlaceError> {
        let id = self.trying(what, || async {
            let credentials = self.credentials()?;
            let url = self.bucket.create_multipart_upload(Some(&credentials), key).sign(SIGNED_FOR);
            let answer = self.send(self.client.post(url).header(CONTENT_LENGTH, 0)).await?;
            let body = text(answer.ok_or_else(|| Failure::Lasting("answered 404".into()))?).await?;
            let created = CreateMultipartUpload::parse_response(&body);
            created.map(|created| created.upload_id().to_owned()).map_err(|error| Failure::Lasting(error.to_string()))
        });
        let id = id.await?;
        let parts = self.parts(what, key, &id, file, bytes).await;
        let ended = match &parts {
            Ok(etags) => self.complete(what, key, &id, etags).await,
            Err(error) => Err(error.clone()),
        };
        if ended.is_err() {
            // As best it can; what is left of it is hidden, and a lifecycle rule of the bucket ends it.
            let aborted = self.trying(what, || async {
                let credentials = self.credentials()?;
                self.send(self.client.delete(self.bucket.abort_multipart_upload(Some(&credentials), key, &id).sign(SIGNED_FOR))).await
            });
            if let Err(error) = aborted.await {
                tracing::warn!(%error, "an upload in parts can't be ended");
            }
        }
        ended
    }

    async fn parts(&self, what: &str, key: &str, id: &str, file: &mut File, bytes: u64) -> Result<Vec<String>, PlaceError> {
        let mut etags = Vec::new();
        let mut sent = 0u64;
        for number in 1..=u16::MAX {
            let part = read_part(file).await.map_err(|error| self.error(what, error.to_string()))?;
            if part.is_empty() {
                break;
            }
            sent = sent.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            let etag = self.trying(what, || async {
                let credentials = self.credentials()?;
                let url = self.bucket.upload_part(Some(&credentials), key, number, id).sign(SIGNED_FOR);
                let answer = self.send(self.client.put(url).body(part.clone())).await?;
                let answer = answer.ok_or_else(|| Failure::Lasting("the upload is gone".into()))?;
                etag_of(answer.headers()).ok_or_else(|| Failure::Lasting("a part was taken without an ETag".into()))
            });
            etags.push(etag.await?);
        }
        if sent == bytes { Ok(etags) } else { Err(self.error(what, format!("{sent} bytes instead of {bytes}"))) }
    }

    async fn complete(&self, what: &str, key: &str, id: &str, etags: &[String]) -> Result<(), PlaceError> {
        self.trying(what, || async {
            let credentials = self.credentials()?;
            let action = self.bucket.complete_multipart_upload(Some(&credentials), key, id, etags.iter().map(String::as_str));
            let url = action.sign(SIGNED_FOR);
            let answer = self.send(self.client.post(url).body(action.body())).await?;
            let body = text(answer.ok_or_else(|| Failure::Lasting("the upload is gone".into()))?).await?;
            // It may answer 200 first and fail afterwards.
            CompleteMultipartUploadResponse::parse(&body)
                .map(drop)
                .map_err(|_| Failure::Passing(format!("not completed, {}", code_of(&body))))
        })
        .await
    }
}

fn passing(error: &reqwest::Error) -> Failure {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    Failure::Passing(reason)
}

/// The code of an S3 error.
fn code_of(body: &str) -> &str {
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
    if code.len() <= 64 && code.chars().all(|char| char.is_ascii_alphanumeric()) { code } else { "" }
}

fn etag_of(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}

async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| passing(&error.without_url()))? {
        if bytes.len().saturating_add(piece.len()) > most {
            return Err(Failure::Lasting("the answer is longer than any that makes sense".into()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn text(answer: Response) -> Result<String, Failure> {
    String::from_utf8(body(answer, ANSWER_BYTES_MAX).await?).map_err(|_| Failure::Lasting("the answer is no text".into()))
}

/// The next part of a file; empty at its end.
async fn read_part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut part = Vec::with_capacity(PART_BYTES);
    let limit = u64::try_from(PART_BYTES).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut part).await?;
    Ok(part)
}

#[async_trait]
impl CheckpointPlace for S3Place {
    fn describe(&self) -> String {
        format!("bucket {} at {}, {}*", self.bucket.name(), self.host, self.prefix)
    }

    async fn names(&self) -> Result<Vec<String>, PlaceError> {
        self.list("checkpoints").await
    }

    async fn manifest(&self, name: &str) -> Result<Vec<u8>, PlaceError> {
        let (what, key) = (format!("reading {name}"), self.manifest_key(name));
        self.trying(&what, || async {
            let credentials = self.credentials()?;
            let answer = self.send(self.client.get(self.bucket.get_object(Some(&credentials), &key).sign(SIGNED_FOR))).await?;
            body(answer.ok_or_else(|| Failure::Lasting("it isn't there".into()))?, MANIFEST_BYTES_MAX).await
        })
        .await
    }

    async fn put_manifest(&self, name: &str, bytes: Vec<u8>) -> Result<(), PlaceError> {
        self.put(&format!("writing {name}"), &self.manifest_key(name), &bytes).await
    }

    async fn remove_manifest(&self, name: &str) -> Result<(), PlaceError> {
        self.delete(&format!("removing {name}"), &self.manifest_key(name)).await
    }

    async fn files(&self) -> Result<Vec<ContentHash>, PlaceError> {
        Ok(self.list("files").await?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn has_file(&self, hash: ContentHash, bytes: u64) -> Result<bool, PlaceError> {
        let (what, key) = (format!("looking for file {hash}"), self.file(hash));
        self.trying(&what, || async {
            let credentials = self.credentials()?;
            let answer = self.send(self.client.head(self.bucket.head_object(Some(&credentials), &key).sign(SIGNED_FOR))).await?;
            let length = |answer: &Response| answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
            Ok(answer.as_ref().and_then(length) == Some(bytes))
        })
        .await
    }

    async fn put_file(&self, hash: ContentHash, bytes: u64, from: &Path) -> Result<(), PlaceError> {
        let (what, key) = (format!("writing file {hash}"), self.file(hash));
        let mut file = File::open(from).await.map_err(|error| self.error(&what, error.to_string()))?;
        if bytes > u64::try_from(PART_BYTES).unwrap_or(u64::MAX) {
            return self.put_parts(&what, &key, &mut file, bytes).await;
        }
        let whole = read_part(&mut file).await.map_err(|error| self.error(&what, error.to_string()))?;
        if u64::try_from(whole.len()) != Ok(bytes) {
            return Err(self.error(&what, format!("{} bytes instead of {bytes}", whole.len())));
        }
        self.put(&what, &key, &whole).await
    }

    async fn get_file(&self, hash: ContentHash, bytes: u64, to: &Path, told: &(dyn Fn(u64) + Send + Sync)) -> Result<(), PlaceError> {
        let (what, key) = (format!("reading file {hash}"), self.file(hash));
        let local = |error: io::Error| Failure::Lasting(error.to_string());
        self.trying(&what, || async {
            let credentials = self.credentials()?;
            let answer = self.send(self.client.get(self.bucket.get_object(Some(&credentials), &key).sign(SIGNED_FOR))).await?;
            let mut answer = answer.ok_or_else(|| Failure::Lasting("it isn't there".into()))?;
            let mut out = File::create(to).await.map_err(local)?;
            let mut read = 0u64;
            while let Some(piece) = answer.chunk().await.map_err(|error| passing(&error.without_url()))? {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                read = read.saturating_add(length);
                if read > bytes {
                    return Err(Failure::Lasting(format!("it is longer than {bytes} bytes")));
                }
                out.write_all(&piece).await.map_err(local)?;
                told(length);
            }
            out.flush().await.map_err(local)?;
            out.sync_all().await.map_err(local)
        })
        .await
    }

    async fn remove_file(&self, hash: ContentHash) -> Result<(), PlaceError> {
        self.delete(&format!("removing file {hash}"), &self.file(hash)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_a_refusal_is_shown() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(code_of(body), "SignatureDoesNotMatch");
        assert_eq!(code_of("<Code>not a code</Code>"), "");
        assert_eq!(code_of("nothing"), "");
    }
}
