//! Free ports for servers that must use the same port again after a restart.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
};

/// Range of the ports. It is below Linux's range of ephemeral ports, so that no outgoing connection
/// occupies the port while its server is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Finds a port on 127.0.0.1 that no process listens on.
///
/// If the server accepts an open listener, bind port 0 instead, because another process may occupy the
/// port before the server binds it.
///
/// # Errors
///
/// None of a hundred random ports was free.
pub fn free_port() -> io::Result<u16> {
    let span = u64::from(PORTS.end - PORTS.start);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..100)
        .map(|attempt| RandomState::new().hash_one(attempt) % span)
        .filter_map(|offset| u16::try_from(offset).ok())
        .map(|offset| PORTS.start + offset)
        .find(is_free)
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();

        assert!(PORTS.contains(&port), "{port}");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
