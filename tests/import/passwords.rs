//! Passwords in each format of the old system.

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

/// Names, passwords and the old system's hashes, generated with Python's `hashlib` and `hmac`.
const OLD_PASSWORDS: [(&str, &str, &str); 4] = [
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
async fn an_old_password_is_accepted_and_hashed_with_argon2id_at_the_first_sign_in() {
    let (suite, old) = (Running::new().await, Old::new().await);
    for (name, _, hash) in OLD_PASSWORDS {
        let sql =
            format!("INSERT INTO user (username, email, pw_hash) VALUES ('{name}', '', '{hash}')");
        old.run(sql).await;
    }
    assert_eq!(import(&suite, &args(&old.file)).await, Outcome::Complete);

    for (name, password, hash) in OLD_PASSWORDS {
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
    // A second import does not replace the new hash.
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
    let output = RefCell::new(String::new());
    user::run(&args, &|text| output.borrow_mut().push_str(text))
        .await
        .unwrap();
    serde_json::from_str(&output.into_inner()).unwrap()
}
