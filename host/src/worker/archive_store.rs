//! Where archived runs are exported to: a folder, or a bucket of an object store.
//!
//! A file is there whole or not at all, and its name says what is in it: whoever writes it again, after a crash, writes the same in its place.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use chrono::NaiveDate;
use flate2::Compression;
use flate2::write::GzEncoder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use tokio::io::AsyncWriteExt as _;

use crate::model::Namespace;
use crate::store::{self, ArchivedPart};

/// A folder or a bucket.
#[derive(Clone)]
pub struct ArchiveStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

/// Why there is none at an address.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveStoreError {
    /// The address.
    #[error("`{0}` is no place for an archive: write file:///path/to/folder or s3://bucket/path")]
    Url(String),
    /// The folder.
    #[error("the folder of the archive: {0}")]
    Folder(std::io::Error),
    /// The store.
    #[error("the archive store: {0}")]
    Store(#[from] object_store::Error),
}

/// Why something was not exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Database(#[from] store::Error),
    #[error("the archive store: {0}")]
    Store(#[from] std::io::Error),
    #[error("compressing was cut off: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

/// Bytes of lines after which the next run begins another file.
const FILE_BYTES: usize = 64 << 20;

/// Bytes that are compressed before they are handed on.
const CHUNK: usize = 1 << 20;

impl ArchiveStore {
    /// At `file:///path/to/folder`, which is made if it is not there, or `s3://bucket/path`, with what `AWS_*` variables say of it.
    pub fn open(url: &str) -> Result<Self, ArchiveStoreError> {
        let unknown = || ArchiveStoreError::Url(url.to_owned());
        let parsed = url.parse().map_err(|_| unknown())?;
        let (scheme, _) = ObjectStoreScheme::parse(&parsed).map_err(|_| unknown())?;
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match scheme {
            ObjectStoreScheme::Local => {
                let folder = parsed.to_file_path().map_err(|()| unknown())?;
                std::fs::create_dir_all(&folder).map_err(ArchiveStoreError::Folder)?;
                // What is dropped after it was written here is nowhere else.
                (Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true)), Path::default())
            }
            ObjectStoreScheme::AmazonS3 => {
                let variables = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
                let (store, prefix) = parse_url_opts(&parsed, variables.filter(|(name, _)| name.starts_with("aws_")))?;
                (store.into(), prefix)
            }
            _ => return Err(unknown()),
        };
        Ok(Self { store, prefix, url: url.to_owned() })
    }

    /// Files for what a namespace has in the archive of a day. Each begins with `keys`.
    pub(super) fn files(&self, namespace: &Namespace, day: NaiveDate, keys: String) -> Files {
        let folder = self.prefix.clone().join(&**namespace).join(day.to_string());
        Files { store: self.store.clone(), folder, keys, number: 0, file: None }
    }
}

/// The files of a namespace and a day, one after the other.
pub(super) struct Files {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    keys: String,
    number: u32,
    file: Option<File>,
}

/// One that is being written.
struct File {
    encoder: GzEncoder<Vec<u8>>,
    /// Nobody sees anything of it before its end.
    object: BufWriter,
    bytes: usize,
}

impl Files {
    /// Write these parts. A run is in one file.
    pub(super) async fn write(&mut self, parts: Vec<ArchivedPart>) -> Result<(), ExportError> {
        for part in parts {
            if part.part == 0 && self.file.as_ref().is_some_and(|file| file.bytes >= FILE_BYTES) {
                self.finish().await?;
            }
            let file = match self.file.take() {
                Some(file) => file,
                None => File::new(self.next(), &self.store).add(self.keys.clone()).await?,
            };
            self.file = Some(file.add(part.lines).await?);
        }
        Ok(())
    }

    /// The last one is whole.
    pub(super) async fn finish(&mut self) -> Result<(), ExportError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let rest = tokio::task::spawn_blocking(|| file.encoder.finish()).await??;
        file.object.write_all(&rest).await?;
        file.object.shutdown().await?;
        Ok(())
    }

    fn next(&mut self) -> Path {
        self.number += 1;
        self.folder.clone().join(format!("{:05}.jsonl.gz", self.number))
    }
}

impl File {
    fn new(path: Path, store: &Arc<dyn ObjectStore>) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        Self { encoder, object: BufWriter::new(store.clone(), path), bytes: 0 }
    }

    async fn add(mut self, lines: String) -> Result<Self, ExportError> {
        self.bytes += lines.len();
        let mut encoder = self.encoder;
        encoder = tokio::task::spawn_blocking(move || encoder.write_all(lines.as_bytes()).map(|()| encoder)).await??;
        if encoder.get_ref().len() >= CHUNK {
            let compressed = std::mem::take(encoder.get_mut());
            self.object.write_all(&compressed).await?;
        }
        self.encoder = encoder;
        Ok(self)
    }
}

impl fmt::Debug for ArchiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveStore").field(&self.url).finish()
    }
}
