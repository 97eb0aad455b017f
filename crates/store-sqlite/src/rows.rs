//! The tables of rows and of the leases that were not released.

use std::time::Duration;

use bytes::Bytes;
use portcullis_core::UnixTime;
use portcullis_store::{Collection, Expected, Lease, LeaseOutcome, RecordKey, Row, StoredRow, Swap, Version};
use sqlx::{FromRow, Row as _, query, query_as, sqlite::SqliteRow};

use crate::{
    SqliteError,
    connection::{
        Connection, ConnectionGuard, Rows, from_fence, from_number, from_time, from_version, to_time, to_version,
    },
};

/// A row: `key, version, sealed, expires_at`.
struct Found([u8; 32], StoredRow);

impl FromRow<'_, SqliteRow> for Found {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let key = row.try_get::<&[u8], _>(0)?.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let sealed = Bytes::from(row.try_get::<Vec<u8>, _>(2)?);
        let row_of = Row::new(sealed, to_time(row.try_get(3)?));
        Ok(Self(key, StoredRow::new(to_version(row.try_get(1)?), row_of)))
    }
}

/// How many rows are swept in one transaction, so that other writers do not wait for all.
const SWEPT_AT_ONCE: i64 = 250;

/// Before the expiry of any row.
const BEFORE_ALL: i64 = -1;

/// Loads a row that expires after `now`; with `None`, also one that has expired.
pub(crate) async fn load(
    connection: &Connection,
    key: RecordKey,
    now: Option<UnixTime>,
) -> Result<Option<StoredRow>, SqliteError> {
    const SQL: &str =
        "SELECT key, version, sealed, expires_at FROM records WHERE tbl = ? AND key = ? AND expires_at > ?";
    let mut guard = connection.take().await?;
    let expires_after = now.map_or(BEFORE_ALL, from_time);
    let load = query_as(SQL).bind(key.collection().number()).bind(&key.as_bytes()[..]).bind(expires_after);
    let row = guard.row(load).await?;
    guard.release();
    Ok(row.map(|Found(_, stored)| stored))
}

/// Writes a row. It writes nothing before it has checked that nothing is in the way.
pub(crate) async fn swap(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    expected: Expected,
    new: Row,
    lease: Option<Lease>,
    now: UnixTime,
) -> Result<Swap, SqliteError> {
    const REPLACE: &str = "UPDATE records SET version = version + 1, sealed = ?, expires_at = ?
        WHERE tbl = ? AND key = ? AND expires_at > ? AND version = ? RETURNING version";
    const CREATE: &str = "INSERT INTO records (sealed, expires_at, tbl, key, version)
        VALUES (?, ?, ?, ?, (SELECT version + 1 FROM removed))
        ON CONFLICT (tbl, key) DO UPDATE
        SET version = version + 1, sealed = excluded.sealed, expires_at = excluded.expires_at
        WHERE records.expires_at <= ? RETURNING version";
    if let Some(lease) = lease
        && !is_lease_held(guard, key, lease).await?
    {
        return Ok(Swap::Fenced);
    }
    let now = from_time(now);
    let (sql, expired_before, version) = match expected {
        Expected::Absent => (CREATE, now, None),
        Expected::EvenExpired(version) => (REPLACE, BEFORE_ALL, Some(version)),
        Expected::Unexpired(version) => (REPLACE, now, Some(version)),
    };
    let write = query_as(sql)
        .bind(&new.sealed[..])
        .bind(from_time(new.expires_at))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..])
        .bind(expired_before);
    let write = version.into_iter().fold(write, |write, version| write.bind(from_version(version)));
    let Some((written,)) = guard.row(write).await? else { return Ok(Swap::Conflict) };
    if let Some(lease) = lease {
        release_lease(guard, key, lease).await?;
    }
    Ok(Swap::Written(to_version(written)))
}

pub(crate) async fn remove(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    expected: Version,
) -> Result<bool, SqliteError> {
    const SQL: &str = "DELETE FROM records WHERE tbl = ? AND key = ? AND version = ?";
    let remove = query(SQL).bind(key.collection().number()).bind(&key.as_bytes()[..]);
    Ok(guard.execute(remove.bind(from_version(expected))).await?.rows_affected() > 0)
}

pub(crate) async fn expired(
    connection: &Connection,
    collection: Collection,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRow)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?";
    let expired = query_as(SQL).bind(collection.number()).bind(from_time(now));
    rows(connection, collection, expired.bind(from_number(limit))).await
}

pub(crate) async fn next_to_expire(
    connection: &Connection,
    collection: Collection,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRow)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND expires_at > ? ORDER BY expires_at LIMIT ?";
    let next = query_as(SQL).bind(collection.number()).bind(from_time(now));
    rows(connection, collection, next.bind(from_number(limit))).await
}

/// Removes some rows that have expired, and returns their number. If there are none left, expired leases of keys without a row are
/// forgotten: there is nothing that their holders may have left half done.
pub(crate) async fn sweep(
    guard: &mut ConnectionGuard<'_>,
    collection: Collection,
    now: UnixTime,
) -> Result<u64, SqliteError> {
    const ROWS: &str =
        "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE tbl = ? AND expires_at <= ? LIMIT ?)";
    let sweep = query(ROWS).bind(collection.number()).bind(from_time(now)).bind(SWEPT_AT_ONCE);
    let swept = guard.execute(sweep).await?.rows_affected();
    if swept == 0 {
        sweep_leases(guard, collection, now).await?;
    }
    Ok(swept)
}

pub(crate) async fn count(connection: &Connection, collection: Collection) -> Result<u64, SqliteError> {
    let mut guard = connection.take().await?;
    let count = query_as("SELECT count(*) FROM records WHERE tbl = ?").bind(collection.number());
    let count = guard.row::<(i64,)>(count).await?;
    guard.release();
    Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
}

pub(crate) async fn page(
    connection: &Connection,
    collection: Collection,
    after: Option<RecordKey>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(RecordKey, StoredRow)>, SqliteError> {
    const SQL: &str = "SELECT key, version, sealed, expires_at FROM records
        WHERE tbl = ? AND key > ? AND expires_at > ? ORDER BY key LIMIT ?";
    let after = after.as_ref().map_or(&[][..], |after| after.as_bytes());
    let page = query_as(SQL).bind(collection.number()).bind(after).bind(from_time(now));
    rows(connection, collection, page.bind(from_number(limit))).await
}

async fn rows(
    connection: &Connection,
    collection: Collection,
    rows: Rows<'_, Found>,
) -> Result<Vec<(RecordKey, StoredRow)>, SqliteError> {
    let mut guard = connection.take().await?;
    let found = guard.rows(rows).await?;
    guard.release();
    Ok(found.into_iter().map(|Found(key, stored)| (RecordKey::new(collection, key), stored)).collect())
}

pub(crate) async fn acquire_lease(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    ttl: Duration,
    now: UnixTime,
) -> Result<LeaseOutcome, SqliteError> {
    let (collection, bytes) = (key.collection().number(), &key.as_bytes()[..]);
    let before = query_as("SELECT until FROM leases WHERE tbl = ? AND key = ?").bind(collection).bind(bytes);
    let before = guard.row::<(i64,)>(before).await?;
    // A lease that ends later than any caller asks for is from before the clock was set back.
    let (past, far) = (from_time(now), from_time(now + ttl + ttl));
    if before.is_some_and(|(until,)| past < until && until <= far) {
        return Ok(LeaseOutcome::Held);
    }
    let acquire = query("REPLACE INTO leases (tbl, key, until) VALUES (?, ?, ?)").bind(collection).bind(bytes);
    let acquired = guard.execute(acquire.bind(from_time(now + ttl))).await?;
    let fence = acquired.last_insert_rowid().unsigned_abs();
    Ok(LeaseOutcome::Acquired(Lease::new(fence, before.is_some())))
}

pub(crate) async fn renew_lease(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    lease: Lease,
    until: UnixTime,
) -> Result<bool, SqliteError> {
    let renew = query("UPDATE leases SET until = ? WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(from_time(until))
        .bind(from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    Ok(guard.execute(renew).await?.rows_affected() > 0)
}

pub(crate) async fn release_lease(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    lease: Lease,
) -> Result<(), SqliteError> {
    let release = query("DELETE FROM leases WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    guard.execute(release).await.map(drop)
}

/// Reports whether the lease was neither released, nor acquired by another process since.
async fn is_lease_held(guard: &mut ConnectionGuard<'_>, key: RecordKey, lease: Lease) -> Result<bool, SqliteError> {
    let held = query_as("SELECT 1 FROM leases WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    Ok(guard.row::<(i64,)>(held).await?.is_some())
}

/// Forgets expired leases of keys without a row.
async fn sweep_leases(
    guard: &mut ConnectionGuard<'_>,
    collection: Collection,
    now: UnixTime,
) -> Result<(), SqliteError> {
    const SQL: &str = "DELETE FROM leases
        WHERE tbl = ?1 AND until <= ?2 AND key NOT IN (SELECT key FROM records WHERE tbl = ?1)";
    guard.execute(query(SQL).bind(collection.number()).bind(from_time(now))).await.map(drop)
}
