//! The table of leases: those that were not released.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_store::{Collection, Lease, LeaseOutcome, RecordKey};
use sqlx::{query, query_as};

use crate::{SqliteError, columns, connection::ConnectionGuard};

pub(crate) async fn acquire(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    ttl: Duration,
    now: UnixTime,
) -> Result<LeaseOutcome, SqliteError> {
    let (collection, bytes) = (key.collection().number(), &key.as_bytes()[..]);
    let before = query_as("SELECT until FROM leases WHERE tbl = ? AND key = ?").bind(collection).bind(bytes);
    let before = guard.row::<(i64,)>(before).await?;
    // A lease that ends later than any caller asks for is from before the clock was set back.
    let (past, far) = (columns::from_time(now), columns::from_time(now + ttl + ttl));
    if before.is_some_and(|(until,)| past < until && until <= far) {
        return Ok(LeaseOutcome::Held);
    }
    let acquire = query("REPLACE INTO leases (tbl, key, until) VALUES (?, ?, ?)").bind(collection).bind(bytes);
    let acquired = guard.execute(acquire.bind(columns::from_time(now + ttl))).await?;
    let fence = acquired.last_insert_rowid().unsigned_abs();
    Ok(LeaseOutcome::Acquired(Lease::new(fence, before.is_some())))
}

pub(crate) async fn renew(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    lease: Lease,
    until: UnixTime,
) -> Result<bool, SqliteError> {
    let renew = query("UPDATE leases SET until = ? WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(columns::from_time(until))
        .bind(columns::from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    Ok(guard.execute(renew).await?.rows_affected() > 0)
}

pub(crate) async fn release(guard: &mut ConnectionGuard<'_>, key: RecordKey, lease: Lease) -> Result<(), SqliteError> {
    let release = query("DELETE FROM leases WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(columns::from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    guard.execute(release).await.map(drop)
}

/// Reports whether the lease was neither released, nor acquired by another process since.
pub(crate) async fn is_held(
    guard: &mut ConnectionGuard<'_>,
    key: RecordKey,
    lease: Lease,
) -> Result<bool, SqliteError> {
    let held = query_as("SELECT 1 FROM leases WHERE fence = ? AND tbl = ? AND key = ?")
        .bind(columns::from_fence(lease))
        .bind(key.collection().number())
        .bind(&key.as_bytes()[..]);
    Ok(guard.row::<(i64,)>(held).await?.is_some())
}

/// Forgets expired leases of keys without a row.
pub(crate) async fn sweep(
    guard: &mut ConnectionGuard<'_>,
    collection: Collection,
    now: UnixTime,
) -> Result<(), SqliteError> {
    const SQL: &str = "DELETE FROM leases
        WHERE tbl = ?1 AND until <= ?2 AND key NOT IN (SELECT key FROM records WHERE tbl = ?1)";
    guard.execute(query(SQL).bind(collection.number()).bind(columns::from_time(now))).await.map(drop)
}
