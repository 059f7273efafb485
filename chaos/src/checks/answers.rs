//! Claims 1 and 2: every answer equals the replay of the log up to its index. A write's index is
//! that of its own entry; a read's body is, byte for byte for routes, what the tables say there.

use serde_json::{Value, json};
use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};

use super::Violation;
use super::truth::Truth;
use crate::history::{Answer, Operation, What, is_same_write};

const CHECK: &str = "answers";

/// Every answer, against the tables at its index.
#[must_use]
pub fn check(truth: &Truth, operations: &[Operation]) -> Vec<Violation> {
    let answered = operations.iter().filter_map(|operation| {
        let answer = operation.answer()?;
        Some((answer.index, (operation, answer)))
    });
    let mut violations = Vec::new();
    truth.at_each(answered, |tables, (operation, answer)| {
        let judged = match (operation.write(), operation.read()) {
            (Some(command), _) => write(truth, tables, command, answer),
            (_, Some(read)) => self::read(tables, &read.what, answer),
            (None, None) => Ok(()),
        };
        if let Err(why) = judged {
            violations.push(Violation::new(CHECK, format!("{why}:\n    {}", operation.line())));
        }
    });
    violations
}

fn write(
    truth: &Truth,
    tables: &RouteTables,
    command: &RouteCommand,
    answer: &Answer,
) -> Result<(), String> {
    if let Some(entry) = truth.entry(answer.index)
        && is_same_write(command, &entry.command)
    {
        return match &entry.outcome {
            RouteOutcome::Refused(why) => Err(format!("acknowledged, but refused with {why:?}")),
            RouteOutcome::Registered { epoch, .. } if answer.epoch != Some(*epoch) => {
                Err(format!("its entry says epoch {epoch}"))
            }
            _ => Ok(()),
        };
    }
    // A retry: it stood in the log already, and the registration that it made still lives.
    if let RouteCommand::Register(register) = command {
        let live = tables.registration(&register.key);
        return match live {
            Some(live)
                if Some(live.claim) == register.claim && Some(live.epoch) == answer.epoch =>
            {
                Ok(())
            }
            _ => Err(format!("neither in the log at its index nor alive there: {live:?}")),
        };
    }
    Err("not in the log at its index".into())
}

fn read(tables: &RouteTables, what: &What, answer: &Answer) -> Result<(), String> {
    match what {
        What::Route(topic) => route(tables, topic, answer),
        What::Routes(topics) => {
            let part = |topic: &String| {
                let route = tables.route(topic, false);
                let json = route.map_or_else(|| "null".into(), |route| text(&route));
                format!("{}:{json}", text(topic))
            };
            let parts: Vec<String> = topics.iter().map(part).collect();
            same(&format!("{{\"routes\":{{{}}}}}", parts.join(",")), answer)
        }
        What::Kv(namespace, key) => match (tables.kv(namespace, key), answer.found) {
            (None, false) => Ok(()),
            (None, true) => Err("the key does not exist at this index".into()),
            (Some(row), _) => {
                let expected = json!({ "value": &*row.value, "modified": row.modified });
                same_json(&expected, answer)
            }
        },
        What::Brokers => brokers(tables, answer),
    }
}

fn route(tables: &RouteTables, topic: &str, answer: &Answer) -> Result<(), String> {
    match (tables.route(topic, false), answer.found) {
        (None, false) => Ok(()),
        (None, true) => Err("the topic does not exist at this index".into()),
        (Some(route), _) => {
            same(&text(&route), answer)?;
            if answer.modified == Some(route.modified) {
                return Ok(());
            }
            Err(format!("the route's last change is {}", route.modified))
        }
    }
}

fn brokers(tables: &RouteTables, answer: &Answer) -> Result<(), String> {
    let told = serde_json::from_slice::<Value>(&answer.body).map_err(|error| error.to_string())?;
    let told: Vec<Value> = told["brokers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|broker| {
            json!([broker["name"], broker["epoch"], broker["incarnation"], broker["seq"]])
        })
        .collect();
    let live = tables
        .registrations()
        .map(|live| json!([live.key.name, live.epoch, live.claim.incarnation, live.claim.seq]));
    let live: Vec<Value> = live.collect();
    if told == live { Ok(()) } else { Err(format!("the live brokers are {live:?}")) }
}

fn same(expected: &str, answer: &Answer) -> Result<(), String> {
    if answer.found && answer.body == expected.as_bytes() {
        return Ok(());
    }
    Err(format!("the tables say {expected}"))
}

fn same_json(expected: &Value, answer: &Answer) -> Result<(), String> {
    let told = serde_json::from_slice::<Value>(&answer.body).ok();
    if answer.found && told.as_ref() == Some(expected) {
        return Ok(());
    }
    Err(format!("the tables say {expected}"))
}

fn text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("made of strings and numbers")
}
