//! The table of grants.

use bytes::Bytes;
use portcullis_core::{GrantId, UnixTime};
use portcullis_grants::{Lease, SealedGrant, StoredRow, Swap, Version};
use sqlx::{FromRow, Row, query, query_as, sqlite::SqliteRow};

use crate::{
    SqliteError,
    connection::{Slot, Taken},
    leases, nanos,
};

/// A row: `id, version, sealed, expires_at`.
struct Found(GrantId, StoredRow);

impl FromRow<'_, SqliteRow> for Found {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let id = row.try_get::<&[u8], _>(0)?.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let sealed = Bytes::from(row.try_get::<Vec<u8>, _>(2)?);
        let expires_at = row.try_get::<Option<i64>, _>(3)?.map(nanos::from_column);
        let stored = StoredRow::new(version(row.try_get(1)?), SealedGrant::new(sealed, expires_at));
        Ok(Self(GrantId::from_bytes(id), stored))
    }
}

/// So many rows are swept in one go, so that writers do not wait for all.
pub(crate) const SWEPT_AT_ONCE: i64 = 250;

pub(crate) async fn load(slot: &Slot, id: GrantId, now: UnixTime) -> Result<Option<StoredRow>, SqliteError> {
    const SQL: &str =
        "SELECT id, version, sealed, expires_at FROM grants WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)";
    let mut taken = slot.take().await?;
    let row = taken.row(query_as(SQL).bind(key(&id)).bind(nanos::to_column(now))).await?;
    taken.give_back();
    Ok(row.map(|Found(_, stored)| stored))
}

/// It writes nothing before it is known that nothing is in the way.
pub(crate) async fn swap(
    taken: &mut Taken<'_>,
    id: GrantId,
    expected: Option<Version>,
    new: SealedGrant,
    lease: Option<Lease>,
    now: UnixTime,
) -> Result<Swap, SqliteError> {
    const REPLACE: &str =
        "UPDATE grants SET version = version + 1, sealed = ?, expires_at = ? WHERE id = ? AND version = ?
        RETURNING version";
    const CREATE: &str =
        "INSERT INTO grants (sealed, expires_at, id, version) VALUES (?, ?, ?, (SELECT version + 1 FROM removed))
        ON CONFLICT (id) DO UPDATE SET version = version + 1, sealed = excluded.sealed, expires_at = excluded.expires_at
        WHERE grants.expires_at <= ? RETURNING version";
    if let Some(lease) = lease
        && !leases::is_ours(taken, id, lease).await?
    {
        return Ok(Swap::Fenced);
    }
    let (sql, last) = match expected {
        Some(version) => (REPLACE, column(version)),
        None => (CREATE, nanos::to_column(now)),
    };
    let expires_at = new.expires_at.map(nanos::to_column);
    let write = query_as(sql).bind(&new.sealed[..]).bind(expires_at).bind(key(&id)).bind(last);
    let Some((written,)) = taken.row(write).await? else { return Ok(Swap::Conflict) };
    if let Some(lease) = lease {
        leases::release(taken, id, lease).await?;
    }
    Ok(Swap::Written(version(written)))
}

pub(crate) async fn remove(taken: &mut Taken<'_>, id: GrantId, expected: Version) -> Result<bool, SqliteError> {
    let remove = query("DELETE FROM grants WHERE id = ? AND version = ?").bind(key(&id)).bind(column(expected));
    Ok(taken.execute(remove).await?.rows_affected() > 0)
}

/// Removes some that are over, and says how many. If there are none left, the leases of ids without a row are forgotten: there is
/// nothing that whoever had them may have spoilt.
pub(crate) async fn sweep(taken: &mut Taken<'_>, now: UnixTime) -> Result<u64, SqliteError> {
    const GRANTS: &str = "DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants WHERE expires_at <= ? LIMIT ?)";
    const LEASES: &str = "DELETE FROM leases WHERE until <= ? AND id NOT IN (SELECT id FROM grants)";
    let now = nanos::to_column(now);
    let swept = taken.execute(query(GRANTS).bind(now).bind(SWEPT_AT_ONCE)).await?.rows_affected();
    if swept == 0 {
        taken.execute(query(LEASES).bind(now)).await?;
    }
    Ok(swept)
}

pub(crate) async fn page(
    slot: &Slot,
    after: Option<GrantId>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(GrantId, StoredRow)>, SqliteError> {
    const SQL: &str = "SELECT id, version, sealed, expires_at FROM grants
        WHERE id > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY id LIMIT ?";
    let after = after.as_ref().map_or(&[][..], key);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut taken = slot.take().await?;
    let rows = taken.rows(query_as(SQL).bind(after).bind(nanos::to_column(now)).bind(limit)).await?;
    taken.give_back();
    Ok(rows.into_iter().map(|Found(id, stored)| (id, stored)).collect())
}

/// An id as a column.
pub(crate) fn key(id: &GrantId) -> &[u8] {
    id.as_bytes()
}

/// A version from a column.
pub(crate) fn version(column: i64) -> Version {
    Version::new(column.unsigned_abs())
}

/// A version as a column. No row has one that does not fit.
pub(crate) fn column(version: Version) -> i64 {
    i64::try_from(version.number()).unwrap_or(i64::MAX)
}
