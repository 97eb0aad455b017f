//! Times, versions and fences as columns.

use portcullis_core::UnixTime;
use portcullis_store::{Lease, Version};

/// Converts a time to nanoseconds in a column. What is later than the year 2262 becomes "never".
pub(crate) fn from_time(time: UnixTime) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Converts a column to a time.
pub(crate) fn to_time(nanos: i64) -> UnixTime {
    if nanos == i64::MAX { UnixTime::MAX } else { UnixTime::from_nanos(u64::try_from(nanos).unwrap_or(0)) }
}

/// Converts a column to a version.
pub(crate) const fn to_version(column: i64) -> Version {
    Version::new(column.unsigned_abs())
}

/// Converts a version to a column. No row has a version that does not fit.
pub(crate) fn from_version(version: Version) -> i64 {
    from_number(version.number())
}

/// Converts the fence of a lease to a column. No lease has a fence that does not fit.
pub(crate) fn from_fence(lease: Lease) -> i64 {
    from_number(lease.fence)
}

/// Converts a number to a column; one that does not fit becomes the largest.
pub(crate) fn from_number<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
