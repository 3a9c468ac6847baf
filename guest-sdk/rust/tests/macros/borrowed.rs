#[windlass::workflow]
async fn greet(name: &str) -> windlass::Result<String> {
    Ok(name.to_owned())
}

#[windlass::step]
async fn rename(name: &mut String) -> windlass::Result<()> {
    name.clear();
    Ok(())
}

struct Shop;

impl Shop {
    #[windlass::step]
    async fn close(&self) -> windlass::Result<()> {
        Ok(())
    }
}

fn main() {}
