#[windlass::step]
async fn charge(cents: u64) {
    drop(cents);
}

#[windlass::workflow]
async fn greet(name: String) -> String {
    name
}

fn main() {}
