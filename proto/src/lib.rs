//! Contracts between the gateway and the services. They consist of code that is generated from the `.proto` files
//! beside this crate, and the limits that these files state.
//!
//! The `.proto` files document each rpc and each field.

#![expect(
    missing_docs,
    reason = "generated: `oneof` enums and modules carry no comments"
)]
#![expect(clippy::pedantic, reason = "generated code is not ours to style")]

mod item_result;
pub mod limits;
pub mod methods;

/// Messages that all contracts share.
pub mod common {
    pub mod v1 {
        tonic::include_proto!("minitwit.common.v1");
    }
}

/// Accounts and API clients.
pub mod user {
    pub mod v1 {
        tonic::include_proto!("minitwit.user.v1");
    }
}

/// Follow relations between accounts.
pub mod follower {
    pub mod v1 {
        tonic::include_proto!("minitwit.follower.v1");
    }
}

/// Messages and flags.
pub mod message {
    pub mod v1 {
        tonic::include_proto!("minitwit.message.v1");
    }
}

/// Compiled descriptors of all contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
