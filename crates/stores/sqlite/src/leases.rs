//! The table of leases: those that were not given back.

use std::time::Duration;

use portcullis_core::{Clock, GrantId, UnixTime};
use portcullis_grants::{Lease, LeaseOutcome};

use crate::{
    SqliteError,
    connection::{Slot, Taken},
    grants::key,
    nanos,
};

pub(crate) async fn acquire(
    slot: &Slot,
    id: GrantId,
    ttl: Duration,
    clock: &dyn Clock,
) -> Result<LeaseOutcome, SqliteError> {
    const ABANDONED: &str = "DELETE FROM leases WHERE id = ? AND until <= ?";
    const ACQUIRE: &str = "INSERT INTO leases (id, until) VALUES (?, ?) ON CONFLICT (id) DO NOTHING";
    let mut taken = slot.begin().await?;
    // Only now: our turn may have been long in coming.
    let now = clock.now();
    let abandoned = taken.execute(sqlx::query(ABANDONED).bind(key(&id)).bind(nanos::to_column(now))).await?;
    let acquired = taken.execute(sqlx::query(ACQUIRE).bind(key(&id)).bind(nanos::to_column(now + ttl))).await?;
    if acquired.rows_affected() == 0 {
        taken.roll_back().await?;
        return Ok(LeaseOutcome::Held);
    }
    taken.commit().await?;
    let fence = acquired.last_insert_rowid().unsigned_abs();
    Ok(LeaseOutcome::Acquired(Lease::new(fence, abandoned.rows_affected() > 0)))
}

pub(crate) async fn renew(slot: &Slot, id: GrantId, lease: Lease, until: UnixTime) -> Result<bool, SqliteError> {
    let mut taken = slot.take().await?;
    let renew = sqlx::query("UPDATE leases SET until = ? WHERE fence = ? AND id = ?");
    let renewed = taken.execute(renew.bind(nanos::to_column(until)).bind(column(lease)).bind(key(&id))).await?;
    taken.give_back();
    Ok(renewed.rows_affected() > 0)
}

pub(crate) async fn release(slot: &Slot, id: GrantId, lease: Lease) -> Result<(), SqliteError> {
    let mut taken = slot.take().await?;
    give_back(&mut taken, id, lease).await?;
    taken.give_back();
    Ok(())
}

/// Whether it was still there to be given back.
pub(crate) async fn give_back(taken: &mut Taken<'_>, id: GrantId, lease: Lease) -> Result<bool, SqliteError> {
    let release = sqlx::query("DELETE FROM leases WHERE fence = ? AND id = ?").bind(column(lease)).bind(key(&id));
    Ok(taken.execute(release).await?.rows_affected() > 0)
}

/// No lease has a fence that does not fit.
fn column(lease: Lease) -> i64 {
    i64::try_from(lease.fence).unwrap_or(i64::MAX)
}
