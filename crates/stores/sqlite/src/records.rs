//! The table of records.

use bytes::Bytes;
use portcullis_core::UnixTime;
use portcullis_grants::{
    Version,
    records::{Collection, RecordKey, SealedRecord, StoredRecord},
};
use sqlx::{FromRow, Row, query, query_as, sqlite::SqliteRow};

use crate::{
    SqliteError,
    connection::{Rows, Slot, Taken},
    grants::{SWEPT_AT_ONCE, column, version},
    nanos,
};

/// A row: `key, version, sealed, expires_at`.
struct Found([u8; 32], StoredRecord);

impl FromRow<'_, SqliteRow> for Found {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let key = row.try_get::<&[u8], _>(0)?.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let sealed = Bytes::from(row.try_get::<Vec<u8>, _>(2)?);
        let record = SealedRecord::new(sealed, nanos::from_column(row.try_get(3)?));
        Ok(Self(key, StoredRecord::new(version(row.try_get(1)?), record)))
    }
}

pub(crate) async fn load(slot: &Slot, key: RecordKey, now: UnixTime) -> Result<Option<StoredRecord>, SqliteError> {
    const SQL: &str =
        "SELECT key, version, sealed, expires_at FROM records WHERE tbl = ? AND key = ? AND expires_at > ?";
    let mut taken = slot.take().await?;
    let load = query_as(SQL).bind(key.table().number()).bind(&key.as_bytes()[..]).bind(nanos::to_column(now));
    let row = taken.row(load).await?;
    taken.give_back();
    Ok(row.map(|Found(_, stored)| stored))
}

pub(crate) async fn swap(
    taken: &mut Taken<'_>,
    key: RecordKey,
    expected: Option<Version>,
    new: SealedRecord,
    now: UnixTime,
) -> Result<Option<Version>, SqliteError> {
    const REPLACE: &str = "UPDATE records SET version = version + 1, sealed = ?, expires_at = ?
        WHERE tbl = ? AND key = ? AND expires_at > ? AND version = ? RETURNING version";
    const CREATE: &str = "INSERT INTO records (sealed, expires_at, tbl, key, version)
        VALUES (?, ?, ?, ?, (SELECT version + 1 FROM removed))
        ON CONFLICT (tbl, key) DO UPDATE
        SET version = version + 1, sealed = excluded.sealed, expires_at = excluded.expires_at
        WHERE records.expires_at <= ? RETURNING version";
    let write = query_as(if expected.is_some() { REPLACE } else { CREATE })
        .bind(&new.sealed[..])
        .bind(nanos::to_column(new.expires_at))
        .bind(key.table().number())
        .bind(&key.as_bytes()[..])
        .bind(nanos::to_column(now));
    let write = expected.into_iter().fold(write, |write, expected| write.bind(column(expected)));
    let written = taken.row(write).await?;
    Ok(written.map(|(written,)| version(written)))
}

pub(crate) async fn remove(taken: &mut Taken<'_>, key: RecordKey, expected: Version) -> Result<bool, SqliteError> {
    const SQL: &str = "DELETE FROM records WHERE tbl = ? AND key = ? AND version = ?";
    let remove = query(SQL).bind(key.table().number()).bind(&key.as_bytes()[..]).bind(column(expected));
    Ok(taken.execute(remove).await?.rows_affected() > 0)
}

pub(crate) async fn expired(
    slot: &Slot,
    table: Collection,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRecord)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?";
    rows(slot, table, query_as(SQL).bind(table.number()).bind(nanos::to_column(now)).bind(most(limit))).await
}

pub(crate) async fn next_to_expire(
    slot: &Slot,
    table: Collection,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRecord)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND expires_at > ? ORDER BY expires_at LIMIT ?";
    rows(slot, table, query_as(SQL).bind(table.number()).bind(nanos::to_column(now)).bind(most(limit))).await
}

/// Removes some that have expired, and says how many.
pub(crate) async fn sweep(taken: &mut Taken<'_>, table: Collection, now: UnixTime) -> Result<u64, SqliteError> {
    const SQL: &str =
        "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE tbl = ? AND expires_at <= ? LIMIT ?)";
    let sweep = query(SQL).bind(table.number()).bind(nanos::to_column(now)).bind(SWEPT_AT_ONCE);
    Ok(taken.execute(sweep).await?.rows_affected())
}

pub(crate) async fn count(slot: &Slot, table: Collection) -> Result<u64, SqliteError> {
    let mut taken = slot.take().await?;
    let count = query_as("SELECT count(*) FROM records WHERE tbl = ?").bind(table.number());
    let count = taken.row::<(i64,)>(count).await?;
    taken.give_back();
    Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
}

pub(crate) async fn page(
    slot: &Slot,
    table: Collection,
    after: Option<RecordKey>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRecord)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND key > ? AND expires_at > ? ORDER BY key LIMIT ?";
    let after = after.as_ref().map_or(&[][..], |after| after.as_bytes());
    let page = query_as(SQL).bind(table.number()).bind(after).bind(nanos::to_column(now)).bind(most(limit));
    rows(slot, table, page).await
}

async fn rows(
    slot: &Slot,
    table: Collection,
    rows: Rows<'_, Found>,
) -> Result<Vec<(RecordKey, StoredRecord)>, SqliteError> {
    let mut taken = slot.take().await?;
    let found = taken.rows(rows).await?;
    taken.give_back();
    Ok(found.into_iter().map(|Found(key, stored)| (RecordKey::new(table, key), stored)).collect())
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
