//! A door in front of Vault that a test can shut, or hang another house behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What is behind the door.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    Vault,
    /// Connections are closed at once.
    Nothing,
    /// A page, as a login portal answers everything with.
    Page,
    /// Connections stand, and nothing is ever answered.
    Silence,
}

pub(crate) struct Gate {
    address: String,
    behind: Arc<Mutex<Behind>>,
    open: Arc<Mutex<JoinSet<()>>>,
    knocks: Arc<AtomicUsize>,
    listener: JoinHandle<()>,
}

impl Gate {
    /// A door in front of this address, `http://host:port`.
    pub(crate) async fn before(vault: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let vault = vault.trim_start_matches("http://").to_owned();
        let (behind, open) = (Arc::new(Mutex::new(Behind::Vault)), Arc::new(Mutex::new(JoinSet::new())));
        let knocks = Arc::<AtomicUsize>::default();
        let (what, connections, count) = (behind.clone(), open.clone(), knocks.clone());
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let behind = *what.lock().unwrap();
                connections.lock().unwrap().spawn(serve(stream, behind, vault.clone()));
            }
        });
        Self { address, behind, open, knocks, listener }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Connections that were made to it.
    pub(crate) fn knocks(&self) -> usize {
        self.knocks.load(Ordering::SeqCst)
    }

    /// Changes what is behind it; connections that stand are cut.
    pub(crate) fn lead_to(&self, behind: Behind) {
        *self.behind.lock().unwrap() = behind;
        self.open.lock().unwrap().abort_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn serve(mut stream: TcpStream, behind: Behind, vault: String) {
    match behind {
        Behind::Nothing => {}
        Behind::Silence => std::future::pending().await,
        Behind::Vault => {
            if let Ok(mut vault) = TcpStream::connect(vault).await {
                let _ = copy_bidirectional(&mut stream, &mut vault).await;
            }
        }
        Behind::Page => {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let page = "<html>Please sign in, s3cr3t</html>";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}
