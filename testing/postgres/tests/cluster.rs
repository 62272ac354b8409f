//! Starts, stops and restarts of a private server, observed through its port.

use std::net::{SocketAddr, TcpListener, TcpStream};

use minitwit_postgres::{Cluster, ClusterOptions};

fn address(cluster: &Cluster) -> SocketAddr {
    let url = cluster.url("postgres");
    let authority = url.split(['@', '/']).nth(3).expect("a URL has a host");
    authority.parse().expect("the host is an address")
}

fn accepts_connections(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_server_stops_when_its_owner_is_dropped() {
    let cluster = Cluster::start(ClusterOptions {
        durable: false,
        ..Default::default()
    })
    .unwrap();
    let address = address(&cluster);
    assert!(accepts_connections(address));

    drop(cluster);
    assert!(!accepts_connections(address));
}

#[test]
fn a_stopped_server_starts_again_on_the_same_port() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let address = address(&cluster);

    cluster.stop_fast().unwrap();
    assert!(!accepts_connections(address));
    cluster.start_again().unwrap();
    assert!(accepts_connections(address));
    cluster.kill().unwrap();
    assert!(!accepts_connections(address));
    cluster.start_again().unwrap();
    assert!(accepts_connections(address));
}

#[test]
fn two_servers_run_side_by_side() {
    let one = Cluster::start(ClusterOptions::default()).unwrap();
    let other = Cluster::start(ClusterOptions::default()).unwrap();

    assert_ne!(address(&one), address(&other));
}

#[test]
fn the_error_of_a_failed_start_contains_its_cause() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    cluster.stop_fast().unwrap();
    let _other_process = TcpListener::bind(address(&cluster)).unwrap();

    let error = cluster.start_again().unwrap_err();
    assert!(
        format!("{error:#}").contains("Address already in use"),
        "{error:#}"
    );
}
