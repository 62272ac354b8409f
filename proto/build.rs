//! Compiles the `.proto` files with protox, so the build needs no `protoc`.

use std::{env, error::Error, fmt::Write as _, fs, path::Path, path::PathBuf};

use prost::Message as _;
use protox::prost_reflect::prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

const PROTOS: [&str; 11] = [
    "minitwit/common/v1/common.proto",
    "minitwit/user/v1/user.proto",
    "minitwit/user/v1/deletion.proto",
    "minitwit/user/v1/operator.proto",
    "minitwit/follower/v1/follower.proto",
    "minitwit/follower/v1/deletion.proto",
    "minitwit/follower/v1/operator.proto",
    "minitwit/message/v1/message.proto",
    "minitwit/message/v1/deletion.proto",
    "minitwit/message/v1/moderation.proto",
    "minitwit/message/v1/operator.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(PROTOS, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    write_methods(&descriptors, &out)?;

    // Ids and texts are `Bytes`: slices of the received frame instead of copies.
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=minitwit");
    Ok(())
}

/// Writes the constants `READS` and `WRITES` with the full names of all rpcs. A read is an rpc that the
/// contract declares to have no side effects.
fn write_methods(descriptors: &FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let (mut reads, mut writes) = (String::new(), String::new());
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let level = method
                    .options
                    .as_ref()
                    .map(|options| options.idempotency_level());
                let list = if level == Some(IdempotencyLevel::NoSideEffects) {
                    &mut reads
                } else {
                    &mut writes
                };
                let (package, service) = (file.package(), service.name());
                write!(list, "\"{package}.{service}/{}\",", method.name())?;
            }
        }
    }
    let constants = format!(
        "/// Full names of the rpcs that only read.
         pub const READS: &[&str] = &[{reads}];
         /// Full names of all other rpcs.
         pub const WRITES: &[&str] = &[{writes}];"
    );
    Ok(fs::write(out.join("methods.rs"), constants)?)
}
