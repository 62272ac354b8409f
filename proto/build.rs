//! Compiles the `.proto` files with protox, so that no `protoc` is needed anywhere.

use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let protos = [
        "minitwit/common/v1/common.proto",
        "minitwit/user/v1/user.proto",
        "minitwit/user/v1/operator.proto",
        "minitwit/follower/v1/follower.proto",
        "minitwit/follower/v1/operator.proto",
        "minitwit/message/v1/message.proto",
        "minitwit/message/v1/operator.proto",
    ];
    let descriptors = protox::compile(protos, ["."])?;

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    // Ids and texts cross as `Bytes`: a slice of the received frame instead of a copy each.
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=minitwit");
    Ok(())
}
