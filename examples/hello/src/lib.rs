//! The smallest workflow.

/// Greets.
#[windlass::workflow]
async fn hello(name: String) -> windlass::Result<String> {
    Ok(format!("Hello, {name}!"))
}

windlass::export!();
