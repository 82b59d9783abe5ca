//! A TCP balancer: each connection goes to the next process.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

pub struct Balancer {
    listener: TcpListener,
    pub url: String,
}

impl Balancer {
    /// It has an address before the processes that need to know it.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self { listener, url }
    }

    pub fn serve(self, processes: Vec<String>) {
        tokio::spawn(async move {
            for process in processes.iter().cycle() {
                let (mut client, _) = self.listener.accept().await.expect("a connection");
                let authority = process.trim_start_matches("http://").to_owned();
                tokio::spawn(async move {
                    let server = TcpStream::connect(authority).await;
                    let mut server = server.expect("the process listens");
                    for stream in [&client, &server] {
                        stream.set_nodelay(true).expect("a TCP stream");
                    }
                    // Either side may break off; that is theirs to notice.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    }
}
