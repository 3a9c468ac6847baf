#[windlass::step]
async fn charge<T: serde::Serialize>(what: T) -> windlass::Result<()> {
    drop(what);
    Ok(())
}

#[windlass::step]
async fn refund(what: impl Into<String>) -> windlass::Result<String> {
    Ok(what.into())
}

fn main() {}
