#[windlass::step(retries = 3)]
async fn one() -> windlass::Result<()> {
    Ok(())
}

#[windlass::step(timeout = "soon")]
async fn two() -> windlass::Result<()> {
    Ok(())
}

#[windlass::step(retry(max_attempts = 0))]
async fn three() -> windlass::Result<()> {
    Ok(())
}

#[windlass::step(retry(factor = 0.5))]
async fn four() -> windlass::Result<()> {
    Ok(())
}

#[windlass::step(http = "example.com")]
async fn five() -> windlass::Result<()> {
    Ok(())
}

#[windlass::workflow(name = "no such name")]
async fn six() -> windlass::Result<()> {
    Ok(())
}

#[windlass::workflow(retry(max_attempts = 1))]
async fn seven() -> windlass::Result<()> {
    Ok(())
}

fn main() {}
