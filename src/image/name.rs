//! Names of images: `[HOST[:PORT]/]PATH[:TAG]`.

use std::fmt;

/// The longest tag that Docker takes, in characters.
const TAG_MAX: usize = 128;

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// All before the tag.
    pub repository: String,
    /// The tag, where one was given.
    pub tag: Option<String>,
}

impl Name {
    /// What was typed, or what is wrong with it.
    ///
    /// # Errors
    /// It is no name of an image that Docker takes.
    pub fn parse(text: &str) -> Result<Name, &'static str> {
        // A colon before the last slash is that of a port.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
            _ => (text, None),
        };
        if text.contains('@') {
            return Err("a digest names an image that is there, not one to be built");
        }
        let mut parts: Vec<&str> = repository.split('/').collect();
        if parts.len() > 1 && parts.first().is_some_and(|first| is_host(first)) {
            parts.remove(0);
        }
        if !parts.iter().all(|part| is_component(part)) {
            return Err(
                "an image is named by small letters and digits, with . _ - between them and / between parts",
            );
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("a tag is at most 128 letters, digits, _ . - and begins with none of the last two");
        }
        Ok(Name { repository: repository.to_owned(), tag: tag.map(str::to_owned) })
    }

    /// The name with the tag it has, or with this one.
    #[must_use]
    pub fn full(&self, tag: &str) -> String {
        format!("{}:{}", self.repository, self.tag.as_deref().unwrap_or(tag))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

/// Whether the first part of a name is a registry, by Docker's rule.
fn is_host(part: &str) -> bool {
    let (host, port) = part.split_once(':').unwrap_or((part, "1"));
    (part.contains(['.', ':']) || part == "localhost")
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        && !host.starts_with(['-', '.'])
        && port.parse::<u16>().is_ok()
}

fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_MAX
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Text of others as a part of a tag: what a tag cannot hold becomes `-`.
#[must_use]
pub fn for_tag(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let made: String = text.chars().take(40).map(plain).collect();
    let made = made.trim_start_matches(['.', '-']);
    if made.is_empty() { "0".to_owned() } else { made.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_tags() {
        for (text, repository, tag) in [
            ("polardb_pg/polardb_pg_manager", "polardb_pg/polardb_pg_manager", None),
            ("a:1.0-SNAPSHOT", "a", Some("1.0-SNAPSHOT")),
            ("localhost:5000/a/b", "localhost:5000/a/b", None),
            ("Registry.Example:5000/a:2", "Registry.Example:5000/a", Some("2")),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.repository.as_str(), name.tag.as_deref()), (repository, tag));
            assert_eq!(name.to_string(), text);
            assert_eq!(name.full("t"), format!("{repository}:{}", tag.unwrap_or("t")));
        }
    }

    #[test]
    fn what_is_no_name() {
        for text in [
            "",
            "-f",
            "A",
            "a/",
            "/a",
            "a//b",
            "a b",
            "a:",
            "a:-x",
            "a@sha256:1",
            "h:99999/a",
            "a\n",
            ".a/b",
            "ü",
        ] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        assert!(Name::parse(&format!("a:{}", "x".repeat(129))).is_err());
    }

    #[test]
    fn text_of_others_in_a_tag() {
        for (text, made) in [("15.5", "15.5"), ("14 devel", "14-devel"), ("", "0"), ("-/", "0"), ("..1", "1")]
        {
            assert_eq!(for_tag(text), made);
        }
    }
}
