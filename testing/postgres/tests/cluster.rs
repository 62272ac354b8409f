//! The life of a private server, seen from outside: its port and its folder.

use std::net::{SocketAddr, TcpListener, TcpStream};

use minitwit_postgres::{Cluster, ClusterOptions};

fn address(cluster: &Cluster) -> SocketAddr {
    let url = cluster.url("postgres");
    let authority = url.split(['@', '/']).nth(3).expect("a URL has a host");
    authority.parse().expect("the host is an address")
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_server_goes_with_its_owner() {
    let cluster = Cluster::start(ClusterOptions {
        durable: false,
        ..Default::default()
    })
    .unwrap();
    let address = address(&cluster);
    assert!(listens(address));

    drop(cluster);
    assert!(!listens(address));
}

#[test]
fn a_stopped_server_starts_again_on_its_port() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let address = address(&cluster);

    cluster.stop_fast().unwrap();
    assert!(!listens(address));
    cluster.start_again().unwrap();
    assert!(listens(address));
    cluster.kill().unwrap();
    assert!(!listens(address));
    cluster.start_again().unwrap();
    assert!(listens(address));
}

#[test]
fn two_servers_stand_side_by_side() {
    let one = Cluster::start(ClusterOptions::default()).unwrap();
    let other = Cluster::start(ClusterOptions::default()).unwrap();

    assert_ne!(address(&one), address(&other));
}

#[test]
fn a_failed_start_tells_why() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    cluster.stop_fast().unwrap();
    let _thief = TcpListener::bind(address(&cluster)).unwrap();

    let error = cluster.start_again().unwrap_err();
    assert!(
        format!("{error:#}").contains("Address already in use"),
        "{error:#}"
    );
}
