//! `POLARDB_PORT_FILE`: the port from a file, as orchestrators mount them.

use std::borrow::Cow;
use std::path::Path;

use super::mistake::{ENVIRONMENT, Mistake};
use super::regular;

const VARIABLE: &str = "POLARDB_PORT";
const TWIN: &str = "POLARDB_PORT_FILE";
/// More is no port, whatever space is around it.
const LENGTH_MAX: u64 = 4096;

/// The environment with the content of the file that `POLARDB_PORT_FILE` names as `POLARDB_PORT`.
///
/// # Errors
/// Both are set, or the file cannot be read or holds no port.
pub(super) fn resolved(env: &[(String, String)]) -> Result<Cow<'_, [(String, String)]>, Mistake> {
    let value = |wanted: &str| {
        env.iter().rfind(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| value)
    };
    let Some(file) = value(TWIN) else { return Ok(Cow::Borrowed(env)) };
    let mistake = |what| Mistake { file: ENVIRONMENT.into(), line: None, key: TWIN.into(), what, near: None };
    if value(VARIABLE).is_some() {
        return Err(mistake(format!("set together with {VARIABLE}; set one of the two")));
    }
    let content = regular::read(Path::new(file), LENGTH_MAX).map_err(|error| {
        mistake(format!("{file} cannot be read: {error}; name a file that holds the port"))
    })?;
    let content = String::from_utf8_lossy(&content);
    let content = content.trim();
    // The content is not shown: somebody may have named the file of a password by mistake.
    if !content.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(mistake(format!("what {file} holds is no port; allowed: an integer, 1 to 65535")));
    }
    let mut env = env.to_vec();
    env.push((VARIABLE.into(), content.into()));
    Ok(Cow::Owned(env))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn the_file_gives_the_port() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("port");
        fs::write(&file, "5433\n").unwrap();
        let file = file.to_str().unwrap();
        let given = env(&[(TWIN, file)]);
        assert_eq!(resolved(&given).unwrap().last(), env(&[(VARIABLE, "5433")]).last());
        assert!(resolved(&env(&[(TWIN, file), (VARIABLE, "1")])).is_err());
        assert!(resolved(&env(&[(TWIN, "/nowhere")])).is_err());
        assert!(resolved(&env(&[(TWIN, "")])).is_ok_and(|env| env.len() == 1));
    }
}
