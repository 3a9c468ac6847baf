//! Parents and children.

use windlass::{Either, Failure, Result, cancellable, child, join_all, publish, race, send_signal, signal, sleep};

use crate::ms;

/// The sum of what `count` children give back, all at once.
#[windlass::workflow]
async fn parent(count: u64) -> Result<u64> {
    let children = (0..count).map(|number| child::<u64>("twice", &number));
    let sums: Result<Vec<_>> = join_all(children).await.into_iter().collect();
    Ok(sums?.into_iter().sum())
}

#[windlass::workflow]
async fn twice(number: u64) -> Result<u64> {
    crate::double(number).await
}

/// How a child that fails, and one that there is not, look to their parent.
#[windlass::workflow]
async fn bad_children() -> Result<(Failure, Failure)> {
    let fails = child::<()>("fails", &()).await.expect_err("it fails");
    let unknown = child::<()>("nobody-has-this", &()).await.expect_err("there is none");
    Ok((fails, unknown))
}

/// Starts children that wait for ever, and ends: one that is to stop with it, one that goes on, one that was never its own.
#[windlass::workflow]
async fn leaves_children() -> Result<Vec<String>> {
    let mut stops = child::<()>("forever", &());
    let mut stays = child::<()>("forever", &()).abandon();
    let ids = vec![stops.run_id()?, stays.run_id()?, child::<()>("forever", &()).detach().await?];
    publish("children", &ids);
    sleep(ms(100)).await;
    Ok(ids)
}

/// Loses interest in a child after a while.
#[windlass::workflow]
async fn impatient_parent(patience_ms: u64) -> Result<String> {
    let mut waits = child::<()>("forever", &());
    let id = waits.run_id()?;
    match race(waits, sleep(ms(patience_ms))).await {
        Either::Left(ended) => ended.map(|()| "ended".to_owned()),
        Either::Right(()) => Ok(id),
    }
}

/// Sends a child a number, which comes back doubled as a signal.
#[windlass::workflow]
async fn ping(number: u64) -> Result<u64> {
    let mut pong = child::<()>("pong", &windlass::run::current().run_id);
    send_signal(pong.run_id()?, "ball", &number).await?;
    let back = signal::<u64>("ball").await?;
    pong.await?;
    Ok(back)
}

#[windlass::workflow]
async fn pong(parent: String) -> Result<()> {
    let ball = signal::<u64>("ball").await?;
    assert_eq!(windlass::run::current().parent.as_ref(), Some(&parent));
    send_signal(parent, "ball", &(ball * 2)).await
}

/// Sends a signal to any run; what comes of it.
#[windlass::workflow]
async fn tell(run_id: String, number: u64) -> Result<String> {
    match send_signal(run_id, "item", &number).await {
        Ok(()) => Ok("sent".to_owned()),
        Err(failure) => Ok(failure.code),
    }
}

/// Its child is asked to stop, and so is it; it says what it saw of that.
#[windlass::workflow]
async fn careful_parent() -> Result<Vec<String>> {
    let waited = cancellable(child::<()>("forever", &())).await;
    let seen = vec![waited.expect_err("it is asked to stop").code, format!("{:?}", windlass::cancel_reason())];
    publish("seen", &seen);
    Ok(seen)
}

/// A child, signals to a child and back, a new beginning, an update: everything that goes from run to run, in one run.
#[windlass::workflow]
async fn relay(mut seen: Vec<u64>) -> Result<Vec<u64>> {
    if seen.is_empty() {
        seen.push(child::<u64>("twice", &4).await?);
        let mut pong = child::<()>("pong", &windlass::run::current().run_id);
        send_signal(pong.run_id()?, "ball", &seen[0]).await?;
        seen.push(signal::<u64>("ball").await?);
        pong.await?;
        return windlass::continue_as_new(&seen).await;
    }
    let add = windlass::update::<u64>("add").await;
    seen.push(crate::double(*add).await?);
    add.answer(&seen)?;
    Ok(seen)
}

/// For each signal, another child that waits for one.
#[windlass::workflow]
async fn fosters(count: usize) -> Result<Vec<u64>> {
    let mut products = Vec::new();
    while products.len() < count {
        let number = signal::<u64>("number").await?;
        products.push(child::<u64>("fostered", &number).await?);
    }
    Ok(products)
}

#[windlass::workflow]
async fn fostered(number: u64) -> Result<u64> {
    Ok(number * signal::<u64>("factor").await?)
}

/// Has a child buy something.
#[windlass::workflow]
async fn has_it_bought(purchase: crate::Purchase) -> Result<Vec<String>> {
    child::<Vec<String>>("buy", &purchase).await
}
