//! A visitor who is signed in at the pages, through the edge and its certificate.

use std::{ffi::OsStr, path::PathBuf};

use anyhow::ensure;

use super::machine::Machines;
use crate::command::output;

/// A browser with its cookies.
#[derive(Debug)]
pub(crate) struct Visitor {
    origin: String,
    cookies: PathBuf,
    name: String,
}

impl Visitor {
    /// Registers and signs in.
    pub(crate) fn sign_in(machines: &Machines, name: &str) -> anyhow::Result<Self> {
        let visitor = Self {
            origin: format!("https://{}", machines.nodes()[0].address),
            cookies: machines.folder().join(format!("{name}.cookies")),
            name: name.to_owned(),
        };
        let email = format!("email={name}@example.com");
        let username = format!("username={name}");
        let fields = [&username, &email, "password=secret", "password2=secret"];
        visitor.post(machines, "/register", &fields)?;
        visitor.post(machines, "/login", &[&username, "password=secret"])?;
        ensure!(visitor.is_signed_in(machines)?, "{name} cannot sign in");
        Ok(visitor)
    }

    /// Whether the pages show that the visitor is signed in.
    pub(crate) fn is_signed_in(&self, machines: &Machines) -> anyhow::Result<bool> {
        let page = self.ask(machines, &["--location", &format!("{}/", self.origin)])?;
        Ok(page.contains(&format!("sign out [{}]", self.name)))
    }

    fn post(&self, machines: &Machines, path: &str, fields: &[&str]) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.origin);
        let mut arguments = vec![url.as_str()];
        for field in fields {
            arguments.extend(["--data-urlencode", field]);
        }
        self.ask(machines, &arguments)
    }

    fn ask(&self, machines: &Machines, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<String> {
        let mut curl = machines.outside("curl")?;
        curl.args("--silent --show-error --fail --insecure --max-time 10".split(' '));
        for option in ["--cookie", "--cookie-jar"] {
            curl.arg(option).arg(&self.cookies);
        }
        output(curl.args(arguments))
    }
}
