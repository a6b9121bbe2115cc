//! `params`: parameters of an instance, as they are called and shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desk::{Desk, of_cause};
use crate::ctl::cli::instance::InstanceArgs;
use crate::ctl::cli::params::{HowArgs, ParamsVerb, ScopeArg};
use crate::ctl::failure::Failure;
use crate::ctl::screen::{Colour, Table, brief};
use crate::manager::params::history::{self, Record};
use crate::manager::params::{self, Change, Entry, Refresh, Scope, Wish, assignment, checked_name};
use crate::manager::{Cause, Operation};

/// The longest value that a table shows, in characters.
const CELL: usize = 60;

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, verb: ParamsVerb) -> Result<(), Failure> {
    match verb {
        ParamsVerb::Get { names, instance } => get(desk, &names, &instance),
        ParamsVerb::Set { settings, how } => {
            let wishes = settings.iter().map(|text| {
                let (name, value) = assignment(text)?;
                Ok((name, Wish::Set(value)))
            });
            change(desk, "params set", wishes, &how)
        }
        ParamsVerb::Unset { names, how } => {
            let wishes = names.iter().map(|name| Ok((checked_name(name)?, Wish::Unset)));
            change(desk, "params unset", wishes, &how)
        }
        ParamsVerb::Refresh(args) => desk.change(&Refresh, "", &args, |_| Value::Null),
        ParamsVerb::Diff(instance) => diff(desk, &instance),
        ParamsVerb::History { names, lines, instance } => show_history(desk, &names, lines, &instance),
    }
}

fn change(
    desk: &mut Desk<'_>,
    name: &'static str,
    wishes: impl Iterator<Item = Result<(String, Wish), Cause>>,
    how: &HowArgs,
) -> Result<(), Failure> {
    let wishes: Result<BTreeMap<String, Wish>, Cause> = wishes.collect();
    let wishes = wishes.map_err(|cause| {
        desk.record(name, &Err(&cause), "");
        of_cause(name, &cause)
    })?;
    let scope = match how.scope {
        ScopeArg::Node => Scope::Node,
        ScopeArg::Cluster => Scope::Cluster,
    };
    let names: Vec<String> = wishes.keys().cloned().collect();
    let change = Change { wishes, scope, over_alter_system: how.over_alter_system, name };
    debug_assert_eq!(change.name(), name);
    desk.change(&change, &names.join(" "), &how.change, |_| Value::Null)
}

fn checked(names: &[String]) -> Result<Vec<String>, Cause> {
    names.iter().map(|name| checked_name(name)).collect()
}

fn get(desk: &mut Desk<'_>, names: &[String], args: &InstanceArgs) -> Result<(), Failure> {
    let entries = desk.read("params get", args, |site| params::get(site, &checked(names)?))?;
    if desk.screen.json {
        desk.screen.document(&entries)?;
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "RUNS", "SET TO", "WHERE", "REMARK"]);
    for entry in &entries {
        let set = entry.set.as_ref();
        table.row(vec![
            (entry.name.clone(), None),
            (cell(entry.value.as_deref().unwrap_or("-")), None),
            (cell(set.map_or("-", |set| &set.value)), None),
            (
                set.map_or_else(|| entry.source.clone().unwrap_or("-".into()), |set| at(&set.file, set.line)),
                None,
            ),
            (remark(entry), Some(if entry.pending_restart { Colour::Yellow } else { Colour::Grey })),
        ]);
    }
    desk.screen.text(&table.render(desk.screen))?;
    Ok(())
}

fn remark(entry: &Entry) -> String {
    let mut remarks = Vec::new();
    if entry.pending_restart {
        remarks.push("waits for a restart".to_owned());
    }
    for place in &entry.shadows {
        remarks.push(format!("shadows {} of {}", cell(&place.value), at(&place.file, place.line)));
    }
    remarks.join("; ")
}

/// File and line for people.
fn at(file: &str, line: usize) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if line == 0 { "command line".to_owned() } else { format!("{name}:{line}") }
}

fn cell(text: &str) -> String {
    brief(text, CELL)
}

fn diff(desk: &mut Desk<'_>, args: &InstanceArgs) -> Result<(), Failure> {
    let differences = desk.read("params diff", args, params::diff)?;
    if desk.screen.json {
        desk.screen.document(&differences)?;
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "RUNS", "FILES SAY", "WHERE", "WHY"]);
    for difference in &differences {
        let files = difference.files.as_ref();
        table.row(vec![
            (difference.name.clone(), None),
            (cell(&difference.running), None),
            (cell(files.map_or("-", |place| &place.value)), None),
            (files.map_or_else(|| "-".to_owned(), |place| at(&place.file, place.line)), None),
            (difference.why.clone(), Some(Colour::Yellow)),
        ]);
    }
    desk.screen.text(&table.render(desk.screen))?;
    Ok(())
}

fn show_history(
    desk: &mut Desk<'_>,
    names: &[String],
    lines: usize,
    args: &InstanceArgs,
) -> Result<(), Failure> {
    let mut records = desk.read("params history", args, |site| {
        let names = checked(names)?;
        let mut records = history::read(site)?;
        let of = |record: &Record, name: &String| record.name.split(' ').next() == Some(name.as_str());
        records.retain(|record| names.is_empty() || names.iter().any(|name| of(record, name)));
        Ok(records)
    })?;
    records.drain(..records.len().saturating_sub(lines));
    if desk.screen.json {
        desk.screen.document(&json!(records))?;
        return Ok(());
    }
    let mut table = Table::new(&["TIME", "NAME", "FROM", "TO", "BY", "REQUEST"]);
    for record in records {
        let value = |value: Option<String>| cell(value.as_deref().unwrap_or("-"));
        table.row(vec![
            (record.at, None),
            (record.name, None),
            (value(record.old), None),
            (value(record.new), None),
            (record.caller, None),
            (record.request, None),
        ]);
    }
    desk.screen.text(&table.render(desk.screen))?;
    Ok(())
}
