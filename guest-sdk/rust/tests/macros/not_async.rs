#[windlass::workflow]
fn greet(name: String) -> windlass::Result<String> {
    Ok(name)
}

fn main() {}
