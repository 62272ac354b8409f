//! One value for each of the three services.

use std::net::SocketAddr;

use chassis::pool::{Pool, PoolConfig};
use minitwit_proto::{
    follower::v1::follower_service_server, message::v1::message_service_server, methods,
    user::v1::user_service_server,
};

/// One value for each service, such as a connection pool, an address or the URL of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerService<T> {
    /// Value for the user service.
    pub user: T,
    /// Value for the follower service.
    pub follower: T,
    /// Value for the message service.
    pub message: T,
}

/// Connection pools of the services.
pub type Pools = PerService<Pool>;

impl<T> PerService<T> {
    /// Creates each value with `create`, which receives the name of the service.
    pub fn from_name(mut create: impl FnMut(&'static str) -> T) -> Self {
        Self {
            user: create("user"),
            follower: create("follower"),
            message: create("message"),
        }
    }

    /// References to the values.
    pub fn as_ref(&self) -> PerService<&T> {
        PerService {
            user: &self.user,
            follower: &self.follower,
            message: &self.message,
        }
    }

    /// Converts each value with `convert`.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> PerService<U> {
        PerService {
            user: convert(self.user),
            follower: convert(self.follower),
            message: convert(self.message),
        }
    }

    /// Pairs each value with the value of `other` for the same service.
    pub fn zip<U>(self, other: PerService<U>) -> PerService<(T, U)> {
        PerService {
            user: (self.user, other.user),
            follower: (self.follower, other.follower),
            message: (self.message, other.message),
        }
    }
}

impl<T, E> PerService<Result<T, E>> {
    /// Returns the values.
    ///
    /// # Errors
    ///
    /// The first error, in the order user, follower, message.
    pub fn transpose(self) -> Result<PerService<T>, E> {
        Ok(PerService {
            user: self.user?,
            follower: self.follower?,
            message: self.message?,
        })
    }
}

impl Pools {
    /// Opens a connection pool for each service. Each address is a list of `host:port`. The pools
    /// connect in the background.
    ///
    /// Must be called from within a tokio runtime.
    pub fn connect<A>(addresses: PerService<A>) -> Self
    where
        A: IntoIterator,
        A::Item: Into<String>,
    {
        let grpc_names = PerService {
            user: user_service_server::SERVICE_NAME,
            follower: follower_service_server::SERVICE_NAME,
            message: message_service_server::SERVICE_NAME,
        };
        grpc_names.zip(addresses).map(|(name, addresses)| {
            Pool::connect(PoolConfig::new(name, addresses, methods::is_read))
        })
    }
}

impl From<PerService<SocketAddr>> for PerService<String> {
    fn from(addresses: PerService<SocketAddr>) -> Self {
        addresses.map(|address| address.to_string())
    }
}
