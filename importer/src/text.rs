//! Values of text columns, and their check against the limits of the suite.

/// Value of a text column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Text, or a number in the form that the old system showed.
    Valid(String),
    /// No value.
    Null,
    /// Bytes that are not UTF-8.
    Damaged,
}

impl Text {
    /// Returns the text.
    ///
    /// # Errors
    ///
    /// The reason, for the report, why the suite does not accept the text. `name` names the column.
    pub(crate) fn take(self, name: &str, bytes_max: usize) -> Result<String, String> {
        match self {
            Self::Null => Err(format!("{name} is missing")),
            Self::Damaged => Err(format!("{name} is no text in UTF-8")),
            Self::Valid(text) if text.len() > bytes_max => Err(format!(
                "{name} has {} bytes, at most {bytes_max} are taken",
                text.len()
            )),
            Self::Valid(text) if text.contains('\0') => {
                Err(format!("{name} contains a NUL character"))
            }
            Self::Valid(text) => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_text_is_refused_with_the_reason() {
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
