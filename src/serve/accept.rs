//! From an address to the next connection.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
    sync::Semaphore,
    time::sleep,
};

use super::socket::Socket;

/// How many connections wait in the kernel: what Linux allows unless it is told otherwise.
const BACKLOG: u32 = 4096;
/// After how long a silent client is asked whether it is still there, and how often then.
const SILENT: Duration = Duration::from_secs(60);
const PROBES: Duration = Duration::from_secs(15);
/// How long nothing is accepted after an error that the next connection would meet as well.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(super) async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut refused = None;
    for address in lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                refused = Some(io::Error::new(error.kind(), format!("{address}: {error}")));
            }
        }
    }
    Err(refused
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Windows this would let other programs take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The next connection, once there may be one more. Cancelled, it takes none.
pub(super) async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    write: Option<Duration>,
) -> (Socket, SocketAddr) {
    // An error would say that the semaphore is closed, which nobody does.
    let permit = permits.clone().acquire_owned().await.ok();
    let (stream, peer) = patiently(|| listener.accept()).await;
    prepare(&stream);
    (Socket::new(stream, permit, write), peer)
}

fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection may be slow");
    }
    let probes = TcpKeepalive::new().with_time(SILENT).with_interval(PROBES);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&probes) {
        tracing::debug!(%error, "a client that is gone may go unnoticed");
    }
}

/// Repeats `accept` until it works.
async fn patiently<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// The client left before it was accepted. The others are not concerned.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::ready};

    use super::*;

    /// EMFILE: there are too many open files.
    const NO_MORE_FILES: i32 = 24;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_a_silent_client_is_asked_for() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        prepare(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&stream).tcp_keepalive_time().unwrap(), SILENT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_open_files_it_tries_again_after_a_second() {
        let answers = RefCell::new(vec![
            Ok("connection"),
            Err(io::Error::from_raw_os_error(NO_MORE_FILES)),
            Err(io::Error::from_raw_os_error(NO_MORE_FILES)),
        ]);
        let accept = patiently(|| ready(answers.borrow_mut().pop().expect("asked thrice")));
        tokio::select! {
            biased;
            accepted = accept => assert_eq!(accepted, "connection"),
            () = sleep(Duration::from_millis(2001)) => panic!("it should take 2 s"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_try_more_often() {
        let asked = RefCell::new(0);
        let accept = patiently(|| {
            *asked.borrow_mut() += 1;
            assert!(*asked.borrow() <= 3, "at 0, 1 and 2 s");
            ready(Err::<(), _>(io::Error::from_raw_os_error(NO_MORE_FILES)))
        });
        tokio::select! {
            () = accept => unreachable!("it never works"),
            () = sleep(Duration::from_millis(2500)) => {}
        }
        assert_eq!(*asked.borrow(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_left_keeps_nobody_waiting() {
        let answers =
            RefCell::new(vec![Ok("connection"), Err(io::ErrorKind::ConnectionAborted.into())]);
        let accept = patiently(|| ready(answers.borrow_mut().pop().expect("asked twice")));
        tokio::select! {
            biased;
            accepted = accept => assert_eq!(accepted, "connection"),
            () = sleep(Duration::from_millis(1)) => panic!("it should take no time"),
        }
    }
}
