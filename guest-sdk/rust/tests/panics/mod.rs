//! What a test is told by a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `code` panics with.
pub(crate) fn panic_of<T>(code: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(code()))).expect_err("it panics");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a message")
}
