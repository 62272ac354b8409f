//! Passwords of the old system, in each of its formats.

use std::cell::RefCell;

use minitwit::{
    address::SuiteArgs,
    user::{self, UserArgs, UserCommand},
};
use minitwit_importer::Outcome;
use serde_json::Value;

use crate::{
    args,
    harness::{Running, person::Person},
    import,
    old::Old,
};

/// Made with Python's `hashlib` and `hmac`: a name, a password, and what the old system keeps of it.
const KNOWN: [(&str, &str, &str); 4] = [
    (
        "old pbkdf2",
        "default",
        "pbkdf2:sha256:50000$zrxYqWfg$b7a2eb0f8db955eb17abaf686d8172f0534588a9f30e67debdcff00a90cd31ba",
    ),
    (
        "pbkdf2",
        "blåbær 😀",
        "pbkdf2:sha256:260000$TsCFqMXDsXJXS4oP$ed9be1d0d16a6b7116c3f5e604402b7cb3d7ae104fc2ea69bad4a631e849e079",
    ),
    (
        "scrypt",
        "s3cret/$pass",
        "scrypt:32768:8:1$oG8XnFzWmGcTqYdM$16c3b026de71c35e0f4d617f06ac848dd72fd63399ba01dcf25d97abf826c028cd0f72a475325c3973ec0a37d5a501250d1341c1fa5aabf9f3987d2e7b8c5092",
    ),
    (
        "sha1",
        "password",
        "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5",
    ),
];

#[tokio::test]
async fn each_old_password_signs_in_and_is_kept_as_argon2id_from_then_on() {
    let (suite, old) = (Running::new().await, Old::new().await);
    for (name, _, hash) in KNOWN {
        let sql =
            format!("INSERT INTO user (username, email, pw_hash) VALUES ('{name}', '', '{hash}')");
        old.run(sql).await;
    }
    assert_eq!(import(&suite, &args(&old.file)).await, Outcome::Complete);

    for (name, password, hash) in KNOWN {
        let method = hash.split('$').next().unwrap();
        assert_eq!(export(&suite, name).await["password_format"], method);
        let mut person = Person::new(suite.pages);
        let refused = person.sign_in(name, "another").await;
        assert!(refused.contains("Invalid password"), "{refused}");
        for _ in 0..2 {
            let mut person = Person::new(suite.pages);
            let page = person.sign_in(name, password).await;
            assert!(page.contains("You were logged in"), "{name}: {page}");
            assert_eq!(export(&suite, name).await["password_format"], "argon2id");
        }
    }
    // What was signed in with here is not undone by another import.
    assert_eq!(import(&suite, &args(&old.file)).await, Outcome::Complete);
    assert_eq!(export(&suite, "sha1").await["password_format"], "argon2id");
    suite.stop().await;
}

async fn export(suite: &Running, name: &str) -> Value {
    let args = UserArgs {
        command: UserCommand::Export {
            name: name.to_owned(),
        },
        suite: SuiteArgs {
            suite: suite.services.into(),
        },
    };
    let said = RefCell::new(String::new());
    user::run(&args, &|text| said.borrow_mut().push_str(text))
        .await
        .unwrap();
    serde_json::from_str(&said.into_inner()).unwrap()
}
