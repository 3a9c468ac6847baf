//! Components and their versions.

use super::{Error, Result, Store};
use crate::model::{Contract, Digest, HttpGrant, Manifest, Name, Namespace, Who};

/// An upload that passed the inspection.
#[derive(Debug)]
pub struct Deployment<'a> {
    /// Whose.
    pub namespace: &'a Namespace,
    /// Under which name its versions are counted.
    pub component: &'a Name,
    /// The uploaded bytes.
    pub bytes: &'a [u8],
    /// What it says that it holds.
    pub manifest: &'a Manifest,
    /// What the operator lets its steps send, beside what was granted before.
    pub grants: &'a [HttpGrant],
    /// The contract that it was built for.
    pub contract: Contract,
    /// What a host must have learnt to run it.
    pub edition: u16,
    /// Who uploads it.
    pub who: &'a Who,
}

/// A version of a component, with all that is needed to run it.
#[derive(Debug)]
pub struct Version {
    /// Of the bytes.
    pub digest: Digest,
    /// The uploaded bytes.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub manifest: Manifest,
    /// What a host must have learnt to run it.
    pub edition: u16,
}

/// What new runs of a workflow take.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The component.
    pub component: Name,
    /// Its version.
    pub version: u32,
    /// What a host must have learnt to run it.
    pub edition: u16,
}

impl Store {
    /// Keep an upload. Returns its version, and whether it is a new one.
    pub async fn deploy(&self, deployment: Deployment<'_>) -> Result<(u32, bool)> {
        let Deployment { namespace, component, bytes, manifest, grants, contract, edition, who } = deployment;
        let encoded =
            serde_json::to_vec(manifest).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))?;
        let workflows: Vec<_> = manifest.workflows.iter().map(|workflow| workflow.name.to_string()).collect();
        let grants: Vec<_> = grants.iter().map(ToString::to_string).collect();
        // One statement, one transaction: the upload and its entry in the audit log.
        let (version, created, _): (i32, bool, i64) = sqlx::query_as(
            "SELECT d.version, d.created, audit($1, $8, 'component.deploy', $2, jsonb_build_object('version', d.version, \
             'is_new', d.created, 'digest', encode($3::bytea, 'hex'), 'grants', $7::text[])::text) \
             FROM deploy($1, $2, $3, $4, $5, $6, $7, $9, $10) d",
        )
        .bind(&**namespace)
        .bind(&**component)
        .bind(&Digest::of(bytes).0[..])
        .bind(bytes)
        .bind(encoded)
        .bind(workflows)
        .bind(grants)
        .bind(who.to_string())
        .bind(contract.to_string())
        .bind(column(edition))
        .fetch_one(&mut *self.tenant(namespace).await?)
        .await?;
        Ok((version.unsigned_abs(), created))
    }

    /// What new runs of a workflow take, if they need no slot before they begin; `None` if they do, or if no component has it.
    pub async fn newest(&self, namespace: &Namespace, workflow: &Name) -> Result<Option<Newest>> {
        let newest = "SELECT component, version, edition FROM workflows \
                      WHERE namespace = $1 AND workflow = $2 AND NOT is_limited";
        let row: Option<(String, i32, i16)> = sqlx::query_as(newest)
            .bind(&**namespace)
            .bind(&**workflow)
            .fetch_optional(&mut *self.tenant(namespace).await?)
            .await?;
        let Some((component, version, edition)) = row else { return Ok(None) };
        let component = Name::new(&component).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))?;
        Ok(Some(Newest { component, version: version.unsigned_abs(), edition: edition.unsigned_abs() }))
    }

    /// A version of a component; `None` if there is no such.
    pub async fn version(&self, namespace: &Namespace, component: &Name, version: u32) -> Result<Option<Version>> {
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, i16);
        let row: Option<Row> = sqlx::query_as(
            "SELECT v.digest, c.bytes, v.manifest, v.edition FROM versions v JOIN components c USING (namespace, digest) \
             WHERE v.namespace = $1 AND v.component = $2 AND v.version = $3",
        )
        .bind(&**namespace)
        .bind(&**component)
        .bind(super::batch::int(version))
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        let Some((digest, bytes, manifest, edition)) = row else { return Ok(None) };
        let corrupt = |what: &str| Error::Internal(sqlx::Error::Decode(format!("a version's {what}").into()));
        let digest = Digest(digest.try_into().map_err(|_| corrupt("digest"))?);
        let manifest = serde_json::from_slice(&manifest).map_err(|_| corrupt("manifest"))?;
        Ok(Some(Version { digest, bytes, manifest, edition: edition.unsigned_abs() }))
    }
}

/// An edition, as the database has it.
pub(super) fn column(edition: u16) -> i16 {
    i16::try_from(edition).unwrap_or(i16::MAX)
}
