//! A word that goes wherever a payload can go.

use windlass::{Failure, Result, child, heartbeat, publish, signal, step, update};

/// Logs the word, shows it, has a step fail with it and report it, starts a child with it, answers an update with it, and waits for a
/// signal.
#[windlass::workflow]
async fn gossips(word: String) -> Result<Vec<String>> {
    windlass::log!("{word}");
    publish("word", &word);
    let heard = whispers(&word).await?;
    let repeated = child::<String>("repeats", &heard).await?;
    let asked = update::<String>("word").await;
    let question = asked.clone();
    asked.answer(&word)?;
    Ok(vec![heard, repeated, question, signal::<String>("word").await?])
}

#[windlass::step(retry(max_attempts = 3, initial = "10ms"))]
async fn whispers(word: &str) -> Result<String> {
    windlass::log!("{word}");
    heartbeat::report(&word)?;
    if step::attempt().number == 1 { Err(Failure::new("again", word)) } else { Ok(word.to_owned()) }
}

#[windlass::workflow]
async fn repeats(word: String) -> Result<String> {
    Ok(word)
}

#[windlass::workflow]
async fn blurts(word: String) -> Result<()> {
    Err(Failure::new("blurted", word).fatal())
}
