//! What stands in a text column, and what the suite takes of it.

/// What a text column held: numbers have become the text that the old system showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// A text, or a number.
    Valid(String),
    /// Nothing.
    Null,
    /// Bytes that are no UTF-8.
    Damaged,
}

impl Text {
    /// The text, if the suite takes it; or what is wrong with it, for people.
    pub(crate) fn take(self, what: &str, bytes_max: usize) -> Result<String, String> {
        match self {
            Self::Null => Err(format!("{what} is missing")),
            Self::Damaged => Err(format!("{what} is no text in UTF-8")),
            Self::Valid(text) if text.len() > bytes_max => Err(format!(
                "{what} has {} bytes, at most {bytes_max} are taken",
                text.len()
            )),
            Self::Valid(text) if text.contains('\0') => {
                Err(format!("{what} contains a NUL character"))
            }
            Self::Valid(text) => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        let take = |text: &str| Text::Valid(text.to_owned()).take("it", 5);
        assert_eq!(take("hello"), Ok("hello".to_owned()));
        assert_eq!(
            take("hello!"),
            Err("it has 6 bytes, at most 5 are taken".to_owned())
        );
        assert_eq!(take("a\0"), Err("it contains a NUL character".to_owned()));
        assert_eq!(Text::Null.take("it", 5), Err("it is missing".to_owned()));
    }
}
