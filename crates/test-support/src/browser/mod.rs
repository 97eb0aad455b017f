//! [`Browser`]: a browser without a window, for logins that a test watches.

mod cookie;
mod error;
mod html;
mod jar;
mod log_in;
mod navigation;
mod page;
mod policies;
mod site;
mod submission;
mod window;

pub use cookie::Cookie;
pub use error::BrowserError;
pub use page::{Arrival, Page};
pub use submission::Submission;
pub use window::Browser;
