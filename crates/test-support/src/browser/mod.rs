//! [`Browser`]: a headless browser for logins.

mod cookies;
mod html;
mod navigation;
mod page;
mod policies;
mod submission;
mod window;

pub use cookies::Cookie;
pub use page::{Arrival, BrowserError, Page};
pub use submission::Submission;
pub use window::Browser;
