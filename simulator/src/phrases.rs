//! Names, addresses, passwords and texts of generated users.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const FIRST_NAMES: [&str; 32] = [
    "Ada",
    "Barbara",
    "Clara",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ivan",
    "Joan",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Ole",
    "Peter",
    "Quentin",
    "Radia",
    "Sophie",
    "Tim",
    "Ursula",
    "Vint",
    "Wendy",
    "Xavier",
    "Yukihiro",
    "Zoe",
    "Alan",
    "Bjarne",
    "Dennis",
    "Guido",
    "Karen",
    "Shafi",
];
const LAST_NAMES: [&str; 32] = [
    "Ashby", "Brinch", "Carver", "Dahl", "Eastman", "Fisker", "Gram", "Holm", "Iversen", "Juhl",
    "Krogh", "Lund", "Madsen", "Naur", "O'Brien", "Petersen", "Quist", "Ravn", "Skou", "Toft",
    "Ulrich", "Vinther", "Winther", "Yde", "Zeuthen", "Bagge", "Friis", "Hauge", "Kjaer", "Munk",
    "Storm", "Thorup",
];
const DOMAINS: [&str; 5] = [
    "example.com",
    "example.org",
    "mail.example",
    "itu.example",
    "k.test",
];

const ASCII_TEXTS: [&str; 24] = [
    "From hour to hour I saw the white face of it",
    "His name was not on the list of passengers",
    "We walked down to the harbour, and nobody spoke",
    "007",
    "1e5",
    "He said \"never again\" and went home",
    "5 < 6 && 6 > 5 is still true",
    "<b>bold</b> &amp; <script>alert('hi')</script>",
    "100% of it; 50%20 of that",
    "C:\\temp\\new is not a newline",
    "'; DROP TABLE message; --",
    "{\"content\": \"json in a text\"}",
    "  two spaces before",
    "The coffee is out again on the fourth floor",
    "Has anyone seen my umbrella?",
    "a+b=c?d#e",
    "It was the best of times; it was the worst of times",
    "No great and rich banners waving this year",
    "null",
    "Nothing to see here, carry on...",
    "I have in bringing me safely to the King",
    "She looked at the map, then at the sea, then at the map",
    "true",
    "Meet me by the bridge at 7:30, please",
];
const NON_ASCII_TEXTS: [&str; 20] = [
    "“Then I was fairly within the last men in it,” he said",
    "his father’s influence could prevail",
    "rødgrød med fløde",
    "Ærø, Læsø, Samsø – i den rækkefølge",
    "naïve café, déjà vu",
    "Straße nach Süden",
    "日本語のつぶやき",
    "Привет, мир",
    "γνῶθι σεαυτόν",
    "שלום עולם",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🎉 🇩🇰",
    "e\u{301} is not é",
    "a\u{a0}no-break space",
    "zero\u{200b}width",
    "∑ of ½ and ¾ — 1¼",
    "नमस्ते दुनिया",
    "안녕하세요",
    "Ω ≠ \u{2126}",
    "…",
];

/// The share of texts with a character outside ASCII, as in the course's scenario.
const NON_ASCII_SHARE: f64 = 0.45;

/// A name of the form "First Last-suffix", which is unique because the suffix is.
pub(crate) fn full_name(rng: &mut StdRng, suffix: &str) -> String {
    format!(
        "{} {}-{suffix}",
        pick(rng, &FIRST_NAMES),
        pick(rng, &LAST_NAMES)
    )
}

/// An email address for `name`, whose parts are joined by one of the usual separators.
pub(crate) fn email(rng: &mut StdRng, name: &str) -> String {
    let separator = pick(rng, &["+", ".", "-", "_"]);
    format!("{}@{}", name.replace(' ', separator), pick(rng, &DOMAINS))
}

/// A password of 8 to 16 printable ASCII characters, including punctuation.
pub(crate) fn password(rng: &mut StdRng) -> String {
    let length = rng.random_range(8..=16);
    (0..length)
        .map(|_| char::from(rng.random_range(b'!'..=b'~')))
        .collect()
}

/// A text that ends with `mark`, which makes the text unique in the run.
pub(crate) fn text(rng: &mut StdRng, mark: &str) -> String {
    let plain = pick(rng, &ASCII_TEXTS);
    if rng.random_bool(NON_ASCII_SHARE) {
        format!("{plain} {} [{mark}]", pick(rng, &NON_ASCII_TEXTS))
    } else {
        format!("{plain} [{mark}]")
    }
}

fn pick<'a>(rng: &mut StdRng, list: &[&'a str]) -> &'a str {
    list.choose(rng).copied().expect("the lists are not empty")
}
