//! Lines for people, kept with the run.

pub use crate::bindings::windlass::workflow::log::Level;
use crate::host;

/// Add a line to the log of the run; [`log!`](crate::log!) is the comfortable way.
///
/// ```no_run
/// windlass::log::write(windlass::log::Level::Warn, "nothing left");
/// ```
pub fn write(level: Level, message: &str) {
    host::log::write(level, message);
}

/// Add a line to the log of the run, in a workflow or in a step. A replay adds nothing twice.
///
/// The level is `info`, unless `debug`, `info`, `warn` or `error` comes first.
///
/// ```
/// #[windlass::workflow]
/// async fn count(to: u32) -> windlass::Result<u32> {
///     windlass::log!("counting to {to}");
///     windlass::log!(warn, "{to} is a lot");
///     Ok(to)
/// }
/// ```
#[macro_export]
macro_rules! log {
    (debug, $($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($message)+)) };
    (info, $($message:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($message)+)) };
    (warn, $($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($message)+)) };
    (error, $($message:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($message)+)) };
    ($($message:tt)+) => { $crate::log!(info, $($message)+) };
}
