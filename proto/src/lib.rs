//! The contracts between the gateway and the services, generated from the `.proto` files beside
//! this crate; the documentation of each rpc and field is theirs.

#![expect(
    missing_docs,
    reason = "generated: `oneof` enums and modules carry no comments"
)]
#![expect(clippy::pedantic, reason = "generated code is not ours to style")]

/// What the contracts share.
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

/// Who follows whom.
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

/// The compiled descriptors of all contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
