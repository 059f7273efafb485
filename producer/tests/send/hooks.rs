//! Hooks: called when and with what, and what their errors do.

use std::sync::{Arc, Mutex};

use signpost_producer::{
    Cause, CheckForbiddenHook, HookError, Hooks, ProducerConfig, RpcHook, SendContext,
    SendMessageHook, Sent,
};
use signpost_remoting::RemotingCommand;
use signpost_remoting::message::properties;

use crate::broker::Mode;
use crate::{config, message, stage};

/// Notes what it sees; fails on the body "fail".
#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

impl Witness {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn judge(body: &[u8]) -> Result<(), HookError> {
    if body == b"fail" { Err("as told".into()) } else { Ok(()) }
}

impl CheckForbiddenHook for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn check_forbidden(&self, send: &SendContext<'_>) -> Result<(), HookError> {
        self.note(format!("check {}", send.attempt));
        judge(send.body)
    }
}

impl SendMessageHook for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn before(&self, send: &mut SendContext<'_>) -> Result<(), HookError> {
        self.note(format!("before {} {:?}", send.queue.broker_name, send.message_type));
        send.notes.insert("mine".into(), send.message_ids[0].clone());
        send.add_property("trace", "4711").unwrap();
        send.add_property("UNIQ_KEY", "forged").unwrap_err();
        judge(send.body)
    }

    fn after(
        &self,
        send: &SendContext<'_>,
        outcome: Result<&[Sent], &Cause>,
    ) -> Result<(), HookError> {
        assert_eq!(send.notes["mine"], send.message_ids[0]);
        self.note(format!("after {:?} {}", send.mode, outcome.map_or(0, <[Sent]>::len)));
        judge(send.body)
    }
}

impl RpcHook for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn before(&self, _address: &str, request: &mut RemotingCommand) -> Result<(), HookError> {
        if request.code != 310 {
            return Ok(());
        }
        request.ext.insert("Signature", "signed");
        self.note("request".into());
        judge(&request.body)
    }

    fn after(&self, _address: &str, request: &RemotingCommand, response: &RemotingCommand) {
        if request.code == 310 {
            assert_eq!(request.ext.get("Signature"), Some("signed"));
            self.note(format!("response {}", response.code));
        }
    }
}

#[tokio::test]
async fn hooks_are_called_around_each_attempt() {
    let witness = Arc::new(Witness::default());
    let hooks = Hooks {
        check_forbidden: vec![Arc::clone(&witness) as _],
        send_message: vec![Arc::clone(&witness) as _],
        rpc: vec![Arc::clone(&witness) as _],
    };
    let stage = stage(1, ProducerConfig { hooks, ..config() }).await;
    stage.producer.send(&message("x")).await.unwrap();
    let all = ["check 1", "before b0 Normal", "request", "response 0", "after Sync 1"];
    assert_eq!(witness.seen(), all);
    let stored = &stage.brokers[0].stored()[0];
    assert_eq!(properties::get(&stored.header.properties, "trace"), Some("4711"));

    stage.producer.send_oneway(&message("x").with_delay_level(1)).await.unwrap();
    assert_eq!(witness.seen(), ["check 1", "before b0 Delay", "request", "after OneWay 0"]);

    stage.brokers[0].set(Mode::Answers(14));
    stage.producer.send(&message("x")).await.unwrap_err();
    let seen = witness.seen();
    assert_eq!(seen.iter().filter(|what| *what == "response 14").count(), 3, "{seen:?}");
    assert_eq!(seen.iter().filter(|what| *what == "after Sync 0").count(), 3, "{seen:?}");
}

#[tokio::test]
async fn a_refused_send_surely_failed_and_was_tried_as_often_as_any_other() {
    let witness = Arc::new(Witness::default());
    let hooks = Hooks { check_forbidden: vec![Arc::clone(&witness) as _], ..Hooks::default() };
    let stage = stage(1, ProducerConfig { hooks, ..config() }).await;
    let error = stage.producer.send(&message("fail")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Forbidden { hook, .. } if hook == "witness"), "{error}");
    assert!(error.is_definite());
    assert_eq!(witness.seen(), ["check 1", "check 2", "check 3"]);
    assert_eq!(stage.brokers[0].seen(), 0);
}

#[tokio::test]
async fn errors_of_watching_hooks_stop_nothing_and_those_of_rpc_hooks_everything() {
    let witness = Arc::new(Witness::default());
    let hooks = Hooks { send_message: vec![Arc::clone(&witness) as _], ..Hooks::default() };
    let watched = stage(1, ProducerConfig { hooks, ..config() }).await;
    watched.producer.send(&message("fail")).await.expect("it is only logged");
    let hooks = Hooks { rpc: vec![Arc::clone(&witness) as _], ..Hooks::default() };
    let signed = stage(2, ProducerConfig { hooks, ..config() }).await;
    let error = signed.producer.send(&message("fail")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Hook { .. }) && error.is_definite(), "{error}");
    assert_eq!(error.attempts().len(), 1, "it would fail everywhere");
}
