//! The table of leases: those that were not given back.

use std::time::Duration;

use portcullis_core::{GrantId, UnixTime};
use portcullis_grants::{Lease, LeaseOutcome};
use sqlx::{query, query_as};

use crate::{SqliteError, connection::Taken, grants::key, nanos};

pub(crate) async fn acquire(
    taken: &mut Taken<'_>,
    id: GrantId,
    ttl: Duration,
    now: UnixTime,
) -> Result<LeaseOutcome, SqliteError> {
    let before = taken.row::<(i64,)>(query_as("SELECT until FROM leases WHERE id = ?").bind(key(&id))).await?;
    // One that ends later than anybody asks for is of a time when the clock was ahead.
    let (past, far) = (nanos::to_column(now), nanos::to_column(now + ttl + ttl));
    if before.is_some_and(|(until,)| past < until && until <= far) {
        return Ok(LeaseOutcome::Held);
    }
    let acquire = query("REPLACE INTO leases (id, until) VALUES (?, ?)");
    let acquired = taken.execute(acquire.bind(key(&id)).bind(nanos::to_column(now + ttl))).await?;
    let fence = acquired.last_insert_rowid().unsigned_abs();
    Ok(LeaseOutcome::Acquired(Lease::new(fence, before.is_some())))
}

pub(crate) async fn renew(
    taken: &mut Taken<'_>,
    id: GrantId,
    lease: Lease,
    until: UnixTime,
) -> Result<bool, SqliteError> {
    let renew = query("UPDATE leases SET until = ? WHERE fence = ? AND id = ?");
    let renewed = taken.execute(renew.bind(nanos::to_column(until)).bind(column(lease)).bind(key(&id))).await?;
    Ok(renewed.rows_affected() > 0)
}

pub(crate) async fn release(taken: &mut Taken<'_>, id: GrantId, lease: Lease) -> Result<(), SqliteError> {
    let release = query("DELETE FROM leases WHERE fence = ? AND id = ?").bind(column(lease)).bind(key(&id));
    taken.execute(release).await.map(drop)
}

/// Whether it was neither given back, nor got by somebody else since.
pub(crate) async fn is_ours(taken: &mut Taken<'_>, id: GrantId, lease: Lease) -> Result<bool, SqliteError> {
    let ours = query_as("SELECT 1 FROM leases WHERE fence = ? AND id = ?").bind(column(lease)).bind(key(&id));
    Ok(taken.row::<(i64,)>(ours).await?.is_some())
}

/// No lease has a fence that does not fit.
fn column(lease: Lease) -> i64 {
    i64::try_from(lease.fence).unwrap_or(i64::MAX)
}
