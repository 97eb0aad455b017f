//! The table of events.

use std::time::Duration;

use bytes::Bytes;
use portcullis_store::{Events, Position};
use sqlx::{query, query_as};
use tokio::time::sleep;

use crate::{
    SqliteError,
    connection::{Connection, ConnectionGuard, from_number},
};

/// How many events are kept.
const MAX_EVENTS: i64 = 4096;

/// How often a waiting reader looks for events: SQLite does not notify other processes.
const POLL_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn append(guard: &mut ConnectionGuard<'_>, event: &Bytes) -> Result<Position, SqliteError> {
    let append = query("INSERT INTO events (sealed) VALUES (?)").bind(&event[..]);
    let position = guard.execute(append).await?.last_insert_rowid();
    guard.execute(query("DELETE FROM events WHERE position <= ?").bind(position - MAX_EVENTS)).await?;
    Ok(Position::new(position.unsigned_abs()))
}

/// Reads events. Positions are consecutive, so a first event that does not follow `after` shows that events were dropped.
pub(crate) async fn read(connection: &Connection, after: Position, limit: usize) -> Result<Events, SqliteError> {
    let mut guard = connection.take().await?;
    let mut rows = rows_after(&mut guard, after, limit).await?;
    // Only a reader without news may be ahead, with a position of another feed.
    let is_ahead = rows.is_empty() && after > last(&mut guard).await?;
    let start = if is_ahead { Position::START } else { after };
    if is_ahead {
        rows = rows_after(&mut guard, start, limit).await?;
    }
    guard.release();
    let (positions, events): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|(position, event)| (position.unsigned_abs(), Bytes::from(event))).unzip();
    let has_dropped = positions.first().is_some_and(|first| *first > start.number() + 1);
    let position = positions.last().map_or(start, |last| Position::new(*last));
    Ok(Events::new(events, position, is_ahead || has_dropped))
}

async fn rows_after(
    guard: &mut ConnectionGuard<'_>,
    after: Position,
    limit: usize,
) -> Result<Vec<(i64, Vec<u8>)>, SqliteError> {
    let read = query_as("SELECT position, sealed FROM events WHERE position > ? ORDER BY position LIMIT ?");
    guard.rows(read.bind(from_number(after.number())).bind(from_number(limit))).await
}

async fn last(guard: &mut ConnectionGuard<'_>) -> Result<Position, SqliteError> {
    let last = guard.row::<(i64,)>(query_as("SELECT coalesce(max(position), 0) FROM events")).await?;
    Ok(last.map_or(Position::START, |(position,)| Position::new(position.unsigned_abs())))
}

pub(crate) async fn last_position(connection: &Connection) -> Result<Position, SqliteError> {
    let mut guard = connection.take().await?;
    let last = last(&mut guard).await?;
    guard.release();
    Ok(last)
}

/// Waits until the last event is another than the one at `after`.
pub(crate) async fn wait(connection: &Connection, after: Position) -> Result<(), SqliteError> {
    while last_position(connection).await? == after {
        sleep(POLL_EVERY).await;
    }
    Ok(())
}
