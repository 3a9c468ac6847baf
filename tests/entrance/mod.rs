//! How requests come in: who is let in, and who is cut off.

mod many;
mod rates;
mod slow;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than anything here takes, and shorter than forever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that says exactly what it is told to say.
struct Raw(TcpStream);

impl Raw {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("connected"))
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("said");
    }

    /// Everything that comes, until the other end closes.
    async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut heard)).await;
        // However it is closed: a reset is as good as an end.
        closed.expect("the other end closes").ok();
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// The head of one answer, and the connection stays.
    async fn hear_head(&mut self) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("an answer");
            heard.push(byte.expect("an answer"));
        }
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A request that is whole.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}
