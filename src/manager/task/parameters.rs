//! Parameters of the engine, as callers send them in JSON.

use serde_json::{Map, Value};

use super::environment::bad;
use crate::manager::cause::Cause;

/// What each node has for itself: callers send it to all, and it is left as it is.
const OF_THE_NODE: [&str; 4] = ["polar_datadir", "polar_disk_name", "polar_hostid", "polar_vfs.logic_ins_id"];

/// Names and values in the form of a configuration file or without quotes, as they came.
pub(super) fn pairs(variable: &str, object: &Map<String, Value>) -> Result<Vec<(String, String)>, Cause> {
    let pair = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let shown: String = name.chars().take(60).collect();
                return Err(bad(variable, &format!("has neither text nor number as the value of {shown:?}")));
            }
        };
        Ok((name.clone(), text))
    };
    object.iter().map(pair).collect()
}

/// The same without those of the node.
pub(super) fn of_all_nodes(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let own = |name: &str| OF_THE_NODE.iter().any(|known| known.eq_ignore_ascii_case(name));
    pairs.into_iter().filter(|(name, _)| !own(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_what_is_neither() {
        let of = |text: &str| {
            let Ok(Value::Object(object)) = serde_json::from_str(text) else { panic!("{text}") };
            pairs("params", &object)
        };
        let found =
            of(r#"{"b":"'log'","a":100,"c":true,"polar_hostid":1,"Polar_Vfs.Logic_Ins_Id":2,"d":0.5}"#);
        let shown: Vec<String> =
            of_all_nodes(found.unwrap()).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["a=100", "b='log'", "c=on", "d=0.5"]);
        for wrong in [r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"a":{}}"#] {
            assert_eq!(of(wrong).unwrap_err().code(), "bad_variable");
        }
    }
}
