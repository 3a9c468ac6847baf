//! Where archived runs are exported to: a folder, or a bucket of an object store.
//!
//! A file is there whole or not at all, and its name says what is in it: whoever writes it again, after a crash, writes the same in its
//! place. What is dropped after it was written here is nowhere else: in a folder, it is on the disk by then.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use flate2::Compression;
use flate2::write::GzEncoder;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::model::Namespace;
use crate::store::{self, ArchivedPart};

/// A folder or a bucket.
#[derive(Clone)]
pub struct ArchiveStore {
    place: Place,
    url: String,
}

#[derive(Clone)]
enum Place {
    Folder(PathBuf),
    Bucket(Arc<dyn ObjectStore>, Path),
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
        let place = match scheme {
            ObjectStoreScheme::Local => {
                let folder = parsed.to_file_path().map_err(|()| unknown())?;
                std::fs::create_dir_all(&folder).map_err(ArchiveStoreError::Folder)?;
                Place::Folder(folder)
            }
            ObjectStoreScheme::AmazonS3 => {
                let variables = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
                let (store, prefix) = parse_url_opts(&parsed, variables.filter(|(name, _)| name.starts_with("aws_")))?;
                Place::Bucket(store.into(), prefix)
            }
            _ => return Err(unknown()),
        };
        Ok(Self { place, url: url.to_owned() })
    }

    /// Files for what a namespace has in the archive of a day. Each begins with `keys`.
    pub(super) fn files(&self, namespace: &Namespace, day: NaiveDate, keys: String) -> Files {
        let place = match &self.place {
            Place::Folder(folder) => Place::Folder(folder.join(&**namespace).join(day.to_string())),
            Place::Bucket(store, path) => {
                Place::Bucket(store.clone(), path.clone().join(&**namespace).join(day.to_string()))
            }
        };
        Files { place, keys, number: 0, file: None }
    }
}

impl Place {
    /// Begin to write what nobody sees before its end.
    async fn create(&self, name: &str) -> std::io::Result<Object> {
        match self {
            Self::Folder(folder) => {
                fs::create_dir_all(folder).await?;
                remove_partial(folder).await?;
                // Of a name that nobody else has, who may only seem to be dead.
                let partial = folder.join(format!("{name}.{}.partial", Uuid::new_v4()));
                Ok(Object::File { file: fs::File::create(&partial).await?, partial, path: folder.join(name) })
            }
            Self::Bucket(store, path) => Ok(Object::Upload(BufWriter::new(store.clone(), path.clone().join(name)))),
        }
    }
}

/// What whoever was cut off has left. One host exports at a time.
async fn remove_partial(folder: &std::path::Path) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        if entry.path().extension().is_some_and(|ending| ending == "partial") {
            fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

/// What is being written.
enum Object {
    File { file: fs::File, partial: PathBuf, path: PathBuf },
    Upload(BufWriter),
}

impl Object {
    /// If that fails, it is given up.
    async fn write(mut self, bytes: &[u8]) -> std::io::Result<Self> {
        let written = match &mut self {
            Self::File { file, .. } => file.write_all(bytes).await,
            Self::Upload(upload) => upload.write_all(bytes).await,
        };
        match written {
            Ok(()) => Ok(self),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// It will never be whole.
    async fn give_up(self) {
        // A file is removed by whoever writes it anew. Parts of an object are kept, and cost, until somebody gives them up.
        if let Self::Upload(mut upload) = self
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, "parts of an object that was not exported may be left in the archive store");
        }
    }

    /// From here on it is there.
    async fn finish(self) -> std::io::Result<()> {
        match self {
            Self::File { mut file, partial, path } => {
                file.flush().await?;
                file.sync_all().await?;
                fs::rename(partial, &path).await?;
                // The names as well: of the file, of the day's folder and of the namespace's.
                for folder in path.ancestors().skip(1).take(3) {
                    fs::File::open(folder).await?.sync_all().await?;
                }
                Ok(())
            }
            // If that fails, it gives up by itself.
            Self::Upload(mut upload) => upload.shutdown().await,
        }
    }
}

/// The files of a namespace and a day, one after the other.
pub(super) struct Files {
    place: Place,
    keys: String,
    number: u32,
    file: Option<File>,
}

/// One that is being written.
struct File {
    encoder: GzEncoder<Vec<u8>>,
    object: Object,
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
                None => self.next().await?,
            };
            self.file = Some(file.add(part.lines).await?);
        }
        Ok(())
    }

    /// The last one is whole.
    pub(super) async fn finish(&mut self) -> Result<(), ExportError> {
        let Some(File { encoder, object, .. }) = self.file.take() else { return Ok(()) };
        let rest = tokio::task::spawn_blocking(|| encoder.finish()).await??;
        Ok(object.write(&rest).await?.finish().await?)
    }

    /// What is being written will not be whole.
    pub(super) async fn give_up(self) {
        if let Some(file) = self.file {
            file.object.give_up().await;
        }
    }

    async fn next(&mut self) -> Result<File, ExportError> {
        self.number += 1;
        let object = self.place.create(&format!("{:05}.jsonl.gz", self.number)).await?;
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        File { encoder, object, bytes: 0 }.add(self.keys.clone()).await
    }
}

impl File {
    async fn add(self, lines: String) -> Result<Self, ExportError> {
        let Self { mut encoder, mut object, bytes } = self;
        let bytes = bytes + lines.len();
        encoder = tokio::task::spawn_blocking(move || encoder.write_all(lines.as_bytes()).map(|()| encoder)).await??;
        if encoder.get_ref().len() >= CHUNK {
            object = object.write(&std::mem::take(encoder.get_mut())).await?;
        }
        Ok(Self { encoder, object, bytes })
    }
}

impl fmt::Debug for ArchiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveStore").field(&self.url).finish()
    }
}
