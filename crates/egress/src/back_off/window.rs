//! [`back_off_window`]: for how long what fails is left alone.

use std::time::Duration;

const FIRST_WINDOW: Duration = Duration::from_secs(1);
pub(super) const LONGEST_WINDOW: Duration = Duration::from_secs(30);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// For how long something is left alone that has failed, after `failures` that came before.
///
/// 1 s, doubled with each failure, up to 30 s; or longer, up to 5 min, if it `asked` for that. Up to a quarter is added by
/// chance, so that many processes do not come back at once.
#[must_use]
pub fn back_off_window(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = FIRST_WINDOW.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WINDOW);
    let asked = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    doubled.max(asked).mul_f64(rand::random_range(1.0..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_and_is_bounded_whatever_is_asked() {
        let about = |failures, asked: Option<u64>, seconds: u64| {
            let window = back_off_window(failures, asked.map(Duration::from_secs));
            let least = Duration::from_secs(seconds);
            assert!(window >= least && window < least.mul_f64(1.25), "{failures} {asked:?}: {window:?}");
        };
        about(0, None, 1);
        about(3, None, 8);
        about(u32::MAX, None, 30);
        about(0, Some(20), 20);
        about(5, Some(1), 30);
        about(0, Some(u64::MAX), 300);
    }
}
