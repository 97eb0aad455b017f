//! Times as the database keeps them.

use portcullis_core::UnixTime;

/// Nanoseconds in a column. What is later than the year 2262 is the far future.
pub(crate) fn to_column(time: UnixTime) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The time in a column.
pub(crate) fn from_column(nanos: i64) -> UnixTime {
    if nanos == i64::MAX { UnixTime::MAX } else { UnixTime::from_nanos(u64::try_from(nanos).unwrap_or(0)) }
}
