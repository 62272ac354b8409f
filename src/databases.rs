//! Databases of the services of a suite in one process.

use std::{fs, path::Path};

use anyhow::Context as _;
use minitwit_client::PerService;
use secrecy::SecretString;

/// URL of the database of each service.
pub type Databases = PerService<SecretString>;

/// Databases in SQLite files in a folder, which is created if it does not exist.
///
/// # Errors
///
/// The folder cannot be created.
pub fn in_folder(folder: &Path) -> anyhow::Result<Databases> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    Ok(PerService::from_name(|name| {
        let path = folder.join(format!("{name}.db")).display().to_string();
        // The path is a part of a URL.
        let path = path
            .replace('%', "%25")
            .replace('?', "%3F")
            .replace('#', "%23");
        SecretString::from(format!("sqlite:{path}"))
    }))
}
