//! Asking the engine's own executable what it makes of a configuration: `postgres -C`, which reads all files and starts
//! nothing.

use std::path::Path;
use std::time::Duration;

use crate::engine::flavor::server_executable;
use crate::manager::cause::Cause;
use crate::manager::program;
use crate::manager::site::Site;

/// It takes tens of milliseconds on a machine that is well.
const WITHIN: Duration = Duration::from_secs(15);

/// What the engine says of a configuration.
pub(in crate::manager) type Verdict = Result<String, String>;

/// The value of a parameter as the engine would start with it, in the form of `pg_settings`; else, in its words, why it
/// would not start. `conf`: the file that takes the place of `postgresql.conf`, in whose folder it lies; `path` is what
/// that one is called.
///
/// # Errors
/// The executable could not be run.
pub(in crate::manager) fn value(site: &Site, name: &str, conf: &Path, path: &Path) -> Result<Verdict, Cause> {
    let server = server_executable(&site.bin_dir()?);
    let (data_dir, conf_text) = (site.data_dir.to_string_lossy(), conf.to_string_lossy());
    let config_file = format!("config_file={conf_text}");
    // It must stand first: only so the executable may be run by root, where another user is out of reach.
    let arguments = ["-C", name, "-D", &data_dir, "-c", &config_file];
    let ended = program::run(site, &server, &arguments, WITHIN)?;
    if ended.status.success() {
        return Ok(Ok(ended.stdout.strip_suffix('\n').unwrap_or(&ended.stdout).to_owned()));
    }
    Ok(Err(in_words(&ended.stderr).replace(conf_text.as_ref(), &path.to_string_lossy())))
}

/// What the engine complains of, without time and process.
fn in_words(stderr: &str) -> String {
    let mut words = Vec::new();
    for line in stderr.lines() {
        let marks = ["LOG:", "FATAL:", "ERROR:", "HINT:", "DETAIL:", "PANIC:"];
        let found = marks.iter().find_map(|mark| line.split_once(mark));
        if let Some((_, text)) = found {
            words.push(text.trim().to_owned());
        }
    }
    // The sum of the lines before it.
    if words.len() > 1 {
        words.retain(|line| !(line.starts_with("configuration file") && line.ends_with("contains errors")));
    }
    if words.is_empty() { stderr.trim().to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words() {
        let text = "2026-01-31 12:00:00.000 UTC [7] LOG:  invalid value for parameter \"work_mem\": \"x\"\n\
                    2026-01-31 12:00:00.000 GMT [7] HINT:  Valid units are \"B\"\n\
                    2026-01-31 12:00:00.000 GMT [7] FATAL:  configuration file \"/d/c\" contains errors\n";
        assert_eq!(in_words(text), "invalid value for parameter \"work_mem\": \"x\"; Valid units are \"B\"");
        assert_eq!(
            in_words("FATAL:  configuration file \"c\" contains errors"),
            "configuration file \"c\" contains errors"
        );
        assert_eq!(in_words("no such program\n"), "no such program");
    }
}
