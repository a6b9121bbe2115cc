//! `engine-user`: the uid of the engine's user, as it is called and shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::desk::{Desk, of_cause};
use crate::ctl::cli::engine_user::EngineUserArgs;
use crate::ctl::cli::instance::InstanceArgs;
use crate::ctl::failure::Failure;
use crate::manager::Cause;
use crate::manager::engine_user::{Changed, EngineUser, uid_of};

const NAME: &str = "engine-user";
/// Between two looks at an installation that is not done.
const AGAIN: Duration = Duration::from_millis(200);

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, args: &EngineUserArgs) -> Result<(), Failure> {
    let instance = InstanceArgs { program: None, timeout: AGAIN };
    // A container may be told its number before it has any data.
    let data_dir = desk.site(NAME, &instance).map_or_else(|_| PathBuf::from("/data"), |site| site.data_dir);
    while args.wait && !is_installed(&data_dir) {
        std::thread::sleep(AGAIN);
    }
    let Some(number) = number(&data_dir, args) else {
        let words = format!(
            "the user {} keeps its uid: no --logic-id, and no number of an installation that is done in {}",
            args.user,
            data_dir.display()
        );
        desk.record(NAME, &Ok(words.clone()), "");
        return show(desk, args, &Err(words));
    };
    let done = changed(&number, data_dir, args);
    let words =
        done.as_ref().map(|(user, changed)| step(user, changed, args).unwrap_or("nothing to do".into()));
    desk.record(NAME, &words, "");
    let done = done.map_err(|cause| of_cause(NAME, &cause))?;
    show(desk, args, &Ok(done))
}

/// As the predecessor's callers see it: the word alone, by itself or with a newline.
fn is_installed(data_dir: &Path) -> bool {
    fs::read_to_string(data_dir.join("ins_install_step")).is_ok_and(|text| text.trim() == "done")
}

fn number(data_dir: &Path, args: &EngineUserArgs) -> Option<String> {
    let given = args.logic_id.clone();
    let kept = || fs::read_to_string(data_dir.join("ins_logic_id")).ok().filter(|_| is_installed(data_dir));
    // Deployments pass variables that are empty.
    given.or_else(kept).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn changed(number: &str, data_dir: PathBuf, args: &EngineUserArgs) -> Result<(EngineUser, Changed), Cause> {
    let uid = uid_of(number).ok_or_else(|| {
        let what = "the number of an instance (logic_ins_id) consists of digits";
        Cause::invalid("bad_logic_id", what, "give the number that PolarDB Stack has for it")
    })?;
    let user = EngineUser { name: args.user.clone(), uid, passwd: args.passwd.clone(), data_dir };
    let changed = user.set(args.dry_run)?;
    Ok((user, changed))
}

/// What was done, for people.
fn step(user: &EngineUser, changed: &Changed, args: &EngineUserArgs) -> Option<String> {
    let word = if args.dry_run { "would" } else { "done" };
    (changed.before != user.uid).then(|| {
        format!(
            "{word}: {}: {} has uid {} instead of {}",
            user.passwd.display(),
            user.name,
            user.uid,
            changed.before
        )
    })
}

/// What came of it, or why there was nothing to do.
fn show(
    desk: &Desk<'_>,
    args: &EngineUserArgs,
    done: &Result<(EngineUser, Changed), String>,
) -> Result<(), Failure> {
    let (step, notes) = match done {
        Ok((user, changed)) => (step(user, changed, args), changed.notes.clone()),
        Err(why) => (None, vec![why.clone()]),
    };
    if desk.screen.json {
        let result = done.as_ref().ok().map(|(user, _)| json!({ "user": user.name, "uid": user.uid }));
        desk.screen.document(&json!({
            "operation": NAME, "request": desk.request(), "changed": step.is_some() && !args.dry_run,
            "dry_run": args.dry_run, "steps": Vec::from_iter(step), "notes": notes, "result": result,
        }))?;
        return Ok(());
    }
    desk.screen.text(&format!("{}\n", step.as_deref().unwrap_or("nothing to do: it is as asked for")))?;
    notes.iter().for_each(|note| desk.screen.note(note));
    Ok(())
}
