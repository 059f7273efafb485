//! Claims 1 and 2: every answer equals the replay of the log up to its index. A write's index is
//! that of its own entry; a read's body is, byte for byte for routes, what the tables say there.

use serde_json::{Value, json};
use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};

use super::Violation;
use super::truth::Truth;
use crate::history::{Answer, Operation, What, is_same_write};

const CHECK: &str = "answers";

pub(crate) fn check(truth: &Truth, operations: &[Operation]) -> Vec<Violation> {
    let wrong = operations.iter().filter_map(|operation| {
        let answer = operation.answer()?;
        let judged = match (operation.write(), operation.read()) {
            (Some(command), _) => write(truth, command, answer),
            (_, Some(read)) => self::read(truth.at(answer.index), &read.what, answer),
            (None, None) => Ok(()),
        };
        let why = judged.err()?;
        Some(Violation::new(CHECK, format!("{why}:\n    {}", operation.line())))
    });
    wrong.collect()
}

fn write(truth: &Truth, command: &RouteCommand, answer: &Answer) -> Result<(), String> {
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
        let live = truth.at(answer.index).registration(&register.key);
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

#[cfg(test)]
mod tests {
    use super::super::story::{put, read, register, truth, wrote};
    use super::*;
    use crate::history::{Call, Outcome};

    fn true_sequence() -> Truth {
        truth(&[(2, put("k", "a")), (3, register("b", 1)), (5, put("k", "c"))])
    }

    fn wrong(operation: Operation) -> usize {
        check(&true_sequence(), &[operation]).len()
    }

    #[test]
    fn answers_from_the_replay_are_fine() {
        let history = [
            wrote(put("k", "a"), 2, 0, 1),
            wrote(register("b", 1), 3, 0, 1),
            read(None, 1, 0, 1),
            read(Some(("a", 2)), 2, 0, 1),
            read(Some(("a", 2)), 4, 0, 1),
            read(Some(("c", 5)), 9, 0, 1),
        ];
        assert_eq!(check(&true_sequence(), &history), []);
    }

    #[test]
    fn an_acknowledged_write_that_is_not_in_the_log_is_caught() {
        assert_eq!(wrong(wrote(put("k", "lost"), 4, 0, 1)), 1);
        assert_eq!(wrong(wrote(put("k", "a"), 5, 0, 1)), 1, "at another index");
        assert_eq!(wrong(wrote(register("b", 9), 4, 0, 1)), 1);
    }

    #[test]
    fn an_acknowledged_write_that_apply_refused_is_caught() {
        let refused = register("b", 1);
        let RouteCommand::Register(mut stale) = refused.clone() else { unreachable!() };
        stale.address = "elsewhere:1".into();
        let stale = RouteCommand::Register(stale);
        let truth = truth(&[(2, refused), (3, stale.clone())]);
        assert_eq!(check(&truth, &[wrote(stale, 3, 0, 1)]).len(), 1);
    }

    #[test]
    fn a_read_of_something_else_is_caught() {
        assert_eq!(wrong(read(Some(("a", 2)), 5, 0, 1)), 1, "an old value at a new index");
        assert_eq!(wrong(read(Some(("c", 5)), 4, 0, 1)), 1, "a new value at an old index");
        assert_eq!(wrong(read(Some(("a", 3)), 3, 0, 1)), 1, "another modified");
        assert_eq!(wrong(read(None, 3, 0, 1)), 1, "missing");
        assert_eq!(wrong(read(Some(("a", 2)), 1, 0, 1)), 1, "not there yet");
    }

    #[test]
    fn lists_and_routes_are_compared_too() {
        let truth = true_sequence();
        let answered = |what: What, body: &str| {
            let mut operation = read(None, 5, 0, 1);
            if let Call::Read(read) = &mut operation.call {
                read.what = what;
            }
            let body = body.as_bytes().to_vec();
            operation.outcome =
                Outcome::Answered(Answer { index: 5, found: true, body, ..Answer::default() });
            check(&truth, &[operation]).len()
        };
        let live = r#"{"brokers":[{"name":"b","epoch":3,"incarnation":1,"seq":1}]}"#;
        assert_eq!(answered(What::Brokers, live), 0);
        assert_eq!(answered(What::Brokers, r#"{"brokers":[]}"#), 1);
        let topics = || What::Routes(vec!["t".into()]);
        assert_eq!(answered(topics(), r#"{"routes":{"t":null}}"#), 0);
        assert_eq!(answered(topics(), r#"{"routes":{"t":{}}}"#), 1);
        assert_eq!(answered(What::Route("t".into()), "{}"), 1);
    }
}
