struct Order {
    id: String,
}

#[windlass::workflow]
async fn take(order: Order) -> windlass::Result<String> {
    Ok(order.id)
}

fn main() {}
