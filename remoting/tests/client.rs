//! The client: one connection for each address, reconnecting, definite and unknown failures.

mod net;

use std::sync::Arc;
use std::time::Duration;

use net::{Net, Raw, Running, after_code_ms, echo, handler, request, start};
use signpost_remoting::connection::{Cause, CloseReason};
use signpost_remoting::{
    Client, ClientOptions, Connection, Handler, InvokeError, RemotingCommand, Reply, ServerLimits,
    response,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const BROKER: &str = "broker:10911";

fn echo_server() -> (Running, net::Ended) {
    let (handler, ended) = handler(echo);
    (start(handler, ServerLimits::default()), ended)
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_one_connection_and_get_their_own_answers() {
    let (handler, ended) = handler(after_code_ms);
    let server = start(handler, ServerLimits::default());
    let client = Client::new(server.net.client_options());
    let calls = (0..100_u8).map(|number| {
        let command = RemotingCommand::request(i32::from(200 - number)).with_body(vec![number]);
        let client = client.clone();
        async move { (number, client.invoke(BROKER, command, SECOND).await.unwrap()) }
    });
    for (number, answer) in futures_util::future::join_all(calls).await {
        assert_eq!(answer.body[..], [number]);
    }
    drop(client);
    server.stop.cancel();
    server.done.await.unwrap();
    assert_eq!(ended.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_is_made_anew_by_the_next_call() {
    let (server, ended) = echo_server();
    let client = Client::new(server.net.client_options());
    client.invoke(BROKER, request(1, 0), SECOND).await.unwrap();
    // Longer than the idle time: the client closes it, before the server does.
    sleep(119 * SECOND).await;
    assert_eq!(*ended.lock().unwrap(), [CloseReason::ByPeer]);
    client.invoke(BROKER, request(1, 0), SECOND).await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_definite() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let client = Client::new(ClientOptions::default());
    let address = format!("127.0.0.1:{port}");
    let error = client.invoke(&address, request(10, 0), 10 * SECOND).await.unwrap_err();
    assert!(error.is_definite() && matches!(error.cause(), Cause::Connect(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_made_in_time_is_definite() {
    let options = ClientOptions {
        dial: Arc::new(|_| Box::pin(std::future::pending())),
        ..ClientOptions::default()
    };
    let client = Client::new(options);
    let began = Instant::now();
    let error = client.invoke(BROKER, request(10, 0), SECOND).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotSent(Cause::TimedOut)), "{error}");
    assert_eq!(began.elapsed(), SECOND);
    let error = client.invoke(BROKER, request(10, 0), 10 * SECOND).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotSent(Cause::Connect(_))), "{error}");
    assert_eq!(began.elapsed(), 3 * SECOND, "the attempt is shared, and has its own time limit");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_answered_is_unknown() {
    let (net, mut arrivals) = Net::new();
    let client = Client::new(net.client_options());
    let call = async { client.invoke(BROKER, request(10, 0), SECOND).await.unwrap_err() };
    let peer = async {
        let mut raw = Raw::new(arrivals.0.recv().await.unwrap());
        raw.receive().await.unwrap();
        drop(raw);
    };
    let (error, ()) = tokio::join!(call, peer);
    assert!(matches!(error, InvokeError::Unknown(Cause::Closed)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_stood_behind_others_when_the_connection_broke_is_definite() {
    let (net, mut arrivals) = Net::new();
    let client = Client::new(net.client_options());
    // The first request fills the pipe, the second never begins to leave.
    let big = RemotingCommand::request(10).with_body(vec![1; 10 * net::PIPE_BYTES]);
    let first = client.invoke(BROKER, big, 10 * SECOND);
    let second = async {
        sleep(SECOND).await;
        client.invoke(BROKER, request(10, 0), 10 * SECOND).await
    };
    let peer = async {
        let stream = arrivals.0.recv().await.unwrap();
        sleep(2 * SECOND).await;
        drop(stream);
    };
    let (first, second, ()) = tokio::join!(first, second, peer);
    assert!(matches!(first, Err(InvokeError::Unknown(Cause::Closed))), "{first:?}");
    assert!(matches!(second, Err(InvokeError::NotSent(Cause::Closed))), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_silent_timeout_the_next_call_takes_a_new_connection() {
    let (net, mut arrivals) = Net::new();
    let client = Client::new(net.client_options());
    let calls = async {
        let error = client.invoke(BROKER, request(10, 0), SECOND).await.unwrap_err();
        assert!(matches!(error, InvokeError::Unknown(Cause::TimedOut)), "{error}");
        client.invoke(BROKER, request(10, 0), SECOND).await.unwrap()
    };
    let peers = async {
        let hung = arrivals.0.recv().await.unwrap();
        let mut good = Raw::new(arrivals.0.recv().await.unwrap());
        let asked = good.receive().await.unwrap();
        let mut answer = RemotingCommand::response(0);
        answer.mark_response_to(asked.opaque, asked.header);
        good.send(&answer).await;
        (hung, good)
    };
    tokio::join!(calls, peers);
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_on_a_living_connection_the_next_call_keeps_it() {
    let (handler, ended) = handler(after_code_ms);
    let server = start(handler, ServerLimits::default());
    let client = Client::new(server.net.client_options());
    let held = client.invoke(BROKER, request(5000, 0), SECOND);
    let quick = async {
        sleep(SECOND / 2).await;
        client.invoke(BROKER, request(1, 0), SECOND).await.unwrap();
    };
    let (held, ()) = tokio::join!(held, quick);
    assert!(matches!(held, Err(InvokeError::Unknown(Cause::TimedOut))));
    // The late answer to the first call, at 5 s, must not be taken for this one's.
    let answer =
        client.invoke(BROKER, request(4500, 0).with_body("mine"), 10 * SECOND).await.unwrap();
    assert_eq!(answer.body, "mine");
    drop(client);
    server.stop.cancel();
    server.done.await.unwrap();
    assert_eq!(ended.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_frame_is_definite_and_harms_nobody() {
    let (server, _) = echo_server();
    let client = Client::new(server.net.client_options());
    let too_large = RemotingCommand::request(10).with_body(vec![0; 17 * 1024 * 1024]);
    let error = client.invoke(BROKER, too_large, SECOND).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotSent(Cause::Frame(_))), "{error}");
    client.invoke(BROKER, request(1, 0), SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_way_requests_arrive_and_wait_for_nothing() {
    let (net, mut arrivals) = Net::new();
    let client = Client::new(net.client_options());
    client.notify(BROKER, RemotingCommand::request(10), SECOND).await.unwrap();
    let mut raw = Raw::new(arrivals.0.recv().await.unwrap());
    assert!(raw.receive().await.unwrap().is_oneway());
}

#[tokio::test(start_paused = true)]
async fn requests_of_the_server_are_answered_by_the_handler_or_with_3() {
    struct Consumer;
    impl Handler for Consumer {
        fn request(&self, _: &Connection, request: RemotingCommand) -> Reply {
            Reply::Now(RemotingCommand::response(0).with_body(request.body))
        }
    }
    let (net, mut arrivals) = Net::new();
    let plain = Client::new(net.client_options());
    let serving =
        Client::new(ClientOptions { handler: Arc::new(Consumer), ..net.client_options() });
    for (client, code) in [(plain, response::REQUEST_CODE_NOT_SUPPORTED), (serving, 0)] {
        let call = client.invoke(BROKER, request(34, 0), SECOND);
        let server = async {
            let mut raw = Raw::new(arrivals.0.recv().await.unwrap());
            let asked = raw.receive().await.unwrap();
            // The same id from the other direction is another request.
            raw.send(&request(220, asked.opaque)).await;
            let answered = raw.receive().await.unwrap();
            assert_eq!((answered.code, answered.opaque), (code, asked.opaque));
            let mut answer = RemotingCommand::response(0).with_body("heartbeat");
            answer.mark_response_to(asked.opaque, asked.header);
            raw.send(&answer).await;
            raw
        };
        let (answer, _raw) = tokio::join!(call, server);
        assert_eq!(answer.unwrap().body, "heartbeat");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_calls_its_client_over_the_client_s_connection() {
    let (handler, _) = handler(|connection, request| {
        let connection = connection.clone();
        Reply::later(async move {
            let deadline = Instant::now() + SECOND;
            let answer = connection.invoke(RemotingCommand::request(220), deadline).await.unwrap();
            assert!(connection.try_notify(RemotingCommand::request(40)));
            RemotingCommand::response(answer.code).with_body(request.body)
        })
    });
    let server = start(handler, ServerLimits::default());
    let client = Client::new(server.net.client_options());
    let answer = client.invoke(BROKER, request(34, 0), SECOND).await.unwrap();
    assert_eq!(answer.code, response::REQUEST_CODE_NOT_SUPPORTED);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_wait_than_the_bound() {
    let (handler, _) = handler(after_code_ms);
    let server = start(handler, ServerLimits::default());
    let mut options = server.net.client_options();
    options.connection.max_calls = 2;
    let client = Client::new(options);
    let began = Instant::now();
    let calls =
        (0..3).map(|_| client.invoke(BROKER, request(1000, 0), Duration::from_millis(1500)));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes[0].is_ok() && outcomes[1].is_ok());
    assert!(matches!(outcomes[2], Err(InvokeError::Unknown(Cause::TimedOut))), "{outcomes:?}");
    assert!(began.elapsed() < 2 * SECOND);
    let calls = [1500, 1500, 900]
        .map(|time| client.invoke(BROKER, request(1000, 0), Duration::from_millis(time)));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(matches!(outcomes[2], Err(InvokeError::NotSent(Cause::TimedOut))), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_closes_its_connections_and_refuses_calls() {
    let (server, ended) = echo_server();
    let client = Client::new(server.net.client_options());
    client.invoke(BROKER, request(1, 0), SECOND).await.unwrap();
    client.close();
    let error = client.invoke(BROKER, request(1, 0), SECOND).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotSent(Cause::Closed)), "{error}");
    tokio::time::timeout(SECOND, async {
        while ended.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}
