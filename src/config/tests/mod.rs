//! Tests of the whole way from text and environment to what it means.

mod contract;
mod environment;
mod keys;
mod meaning;
mod never_panics;
mod programs;

use super::*;

/// The mistakes of a text without an environment.
fn mistakes(text: &str) -> Vec<Mistake> {
    read("s.toml", Some(text), &[]).expect_err(text).0
}

/// The one mistake of a text, as a person sees it.
fn mistake(text: &str) -> String {
    let all = mistakes(text);
    assert_eq!(all.len(), 1, "{text}\n{all:#?}");
    all[0].to_string()
}

fn good(text: &str) -> Config {
    read("s.toml", Some(text), &[]).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
}

/// The only engine of a configuration.
fn engine(config: &Config) -> &Postgres {
    assert_eq!(config.programs.len(), 1);
    config.programs[0].kind.engine().expect("an engine")
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
