package signpost.stock;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Stock producers and push consumers, told what to send and what to listen to, with the clients'
 * own defaults but for what the orders say.
 *
 * <p>Words: name servers. Orders on stdin, their words separated by tabs:
 *
 * <pre>
 * sync    TOPIC TAG KEY BODY          one message, waiting for its answer
 * async   TOPIC TAG KEY BODY          one message with a callback, which is waited for
 * oneway  TOPIC TAG KEY BODY          one message, nothing waited for
 * delayed TOPIC LEVEL BODY            one message of a delay level
 * batch   TOPIC TAG PREFIX N          N messages PREFIX-0, … in one request
 * ordered TOPIC SHARD PREFIX N        N messages PREFIX-0, … to the queue that the shard selects
 * codec   NAME                        from now on bodies are compressed with ZLIB, LZ4 or ZSTD
 * whole   KIND TOPIC KEYS FILE FLAG NAME BASE64 …
 *                                     one message, tag "whole", with the body that is in a file and
 *                                     properties; KIND is "sync", "async", "oneway", "ordered" by
 *                                     its keys, "delayed" by level 1, or "batch": twice in one
 *                                     request, the second with "-twin" behind its keys
 * listen  GROUP TOPIC EXPRESSION RETRIES KIND
 *                                     a push consumer, KIND is "concurrently" or "orderly"; it
 *                                     fails on bodies that begin with "poison"
 * hush    GROUP                       that consumer ends in order
 * </pre>
 *
 * <p>On stdout {"ready":true}, then for each event a line: {"sent":body,"queue":N,"offset":N,
 * "id":unique key,"at":offset id}, {"failed":body,"error":text}, {"received":body,"group":…,
 * "topic":…,"queue":N,"offset":N,"id":…,"at":…,"tags":…,"keys":…,"retries":N,"flag":N}, and
 * {"done":order} for each order. Of a message with the tag "whole" the keys stand for the body, and
 * the line has also "file", where its body is, and "properties", all of them as on the wire. Ends
 * when stdin does.
 */
public final class Exchange {
    private static final AtomicInteger FILES = new AtomicInteger();

    private DefaultMQProducer producer;
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();

    private Exchange(DefaultMQProducer producer) {
        this.producer = producer;
    }

    public static void main(String[] words) throws Exception {
        System.setProperty("rocketmq.namesrv.addr", words[0]);
        Exchange exchange = new Exchange(producer("exchange-producers"));
        Line.print("ready", true);
        BufferedReader orders =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            String[] parts = order.split("\t");
            try {
                exchange.obey(parts);
            } catch (Exception error) {
                Line.print("failed", order, "error", error.toString());
            }
            Line.print("done", parts[0]);
        }
        Runtime.getRuntime().halt(0);
    }

    private void obey(String[] order) throws Exception {
        switch (order[0]) {
            case "sync":
                sent(order[4], producer.send(message(order)));
                break;
            case "async":
                async(order[4], message(order));
                break;
            case "oneway":
                producer.sendOneway(message(order));
                break;
            case "delayed": {
                Message message = new Message(order[1], bytes(order[3]));
                message.setDelayTimeLevel(Integer.parseInt(order[2]));
                sent(order[3], producer.send(message));
                break;
            }
            case "batch": {
                List<Message> batch = new ArrayList<>();
                for (int n = 0; n < Integer.parseInt(order[4]); n++) {
                    String body = order[3] + "-" + n;
                    batch.add(new Message(order[1], order[2], "key-" + body, bytes(body)));
                }
                sent(order[3], producer.send(batch));
                break;
            }
            case "ordered":
                for (int n = 0; n < Integer.parseInt(order[4]); n++) {
                    String body = order[3] + "-" + n;
                    SendResult result = producer.send(
                        new Message(order[1], bytes(body)),
                        (queues, message, shard) ->
                            queues.get(Math.floorMod((int) shard, queues.size())),
                        Integer.parseInt(order[2]));
                    sent(body, result);
                }
                break;
            case "codec":
                // Read when a producer is made; the setter of 4.9 changes the flag alone.
                System.setProperty("rocketmq.message.compressType", order[1]);
                producer.shutdown();
                producer = producer("exchange-producers-" + order[1]);
                break;
            case "whole":
                whole(order);
                break;
            case "listen":
                listen(order[1], order[2], order[3], Integer.parseInt(order[4]), order[5]);
                break;
            case "hush":
                for (DefaultMQPushConsumer consumer : List.copyOf(consumers)) {
                    if (consumer.getConsumerGroup().equals(order[1])) {
                        consumer.shutdown();
                        consumers.remove(consumer);
                    }
                }
                break;
            default:
                throw new IllegalArgumentException(order[0]);
        }
    }

    private static DefaultMQProducer producer(String group) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group);
        producer.setPollNameServerInterval(1000);
        producer.start();
        return producer;
    }

    private static Message message(String[] order) {
        return new Message(order[1], order[2], order[3], bytes(order[4]));
    }

    private static Message whole(String[] order, String keys) throws IOException {
        byte[] body = Files.readAllBytes(Path.of(order[4]));
        int flag = Integer.parseInt(order[5]);
        Message message = new Message(order[2], "whole", keys, flag, body, true);
        for (int at = 6; at < order.length; at += 2) {
            byte[] value = Base64.getDecoder().decode(order[at + 1]);
            message.putUserProperty(order[at], new String(value, StandardCharsets.UTF_8));
        }
        return message;
    }

    private void whole(String[] order) throws Exception {
        String keys = order[3];
        Message message = whole(order, keys);
        switch (order[1]) {
            case "sync":
                sent(keys, producer.send(message));
                break;
            case "async":
                async(keys, message);
                break;
            case "oneway":
                producer.sendOneway(message);
                break;
            case "ordered":
                sent(keys, producer.send(message, new SelectMessageQueueByHash(), keys));
                break;
            case "delayed":
                message.setDelayTimeLevel(1);
                sent(keys, producer.send(message));
                break;
            case "batch":
                sent(keys, producer.send(List.of(message, whole(order, keys + "-twin"))));
                break;
            default:
                throw new IllegalArgumentException(order[1]);
        }
    }

    private void async(String body, Message message) throws Exception {
        CountDownLatch answered = new CountDownLatch(1);
        producer.send(message, new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                sent(body, result);
                answered.countDown();
            }

            @Override
            public void onException(Throwable error) {
                Line.print("failed", body, "error", error.toString());
                answered.countDown();
            }
        });
        answered.await();
    }

    private static void sent(String body, SendResult result) {
        Line.print(
            "sent", body,
            "status", result.getSendStatus(),
            "queue", result.getMessageQueue().getQueueId(),
            "offset", result.getQueueOffset(),
            "id", result.getMsgId(),
            "at", result.getOffsetMsgId());
    }

    private void listen(String group, String topic, String expression, int retries, String kind)
        throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setPollNameServerInterval(1000);
        consumer.setPersistConsumerOffsetInterval(1000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setMaxReconsumeTimes(retries);
        consumer.subscribe(topic, expression);
        if (kind.equals("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                received(group, messages);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                received(group, messages)
                    ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS
                    : ConsumeConcurrentlyStatus.RECONSUME_LATER);
        }
        consumer.start();
        consumers.add(consumer);
    }

    /** Says what came; whether it can be consumed. */
    private static boolean received(String group, List<MessageExt> messages) {
        boolean good = true;
        for (MessageExt message : messages) {
            String body = new String(message.getBody(), StandardCharsets.UTF_8);
            boolean whole = "whole".equals(message.getTags());
            Line.print(
                "received", whole ? message.getKeys() : body,
                "group", group,
                "topic", message.getTopic(),
                "queue", message.getQueueId(),
                "offset", message.getQueueOffset(),
                "id", message.getMsgId(),
                "at", message instanceof org.apache.rocketmq.common.message.MessageClientExt
                    ? ((org.apache.rocketmq.common.message.MessageClientExt) message)
                        .getOffsetMsgId()
                    : null,
                "tags", String.valueOf(message.getTags()),
                "keys", String.valueOf(message.getKeys()),
                "retries", message.getReconsumeTimes(),
                "flag", message.getFlag(),
                "file", whole ? written(message.getBody()) : null,
                "properties",
                    whole ? MessageDecoder.messageProperties2String(message.getProperties()) : null);
            good &= !body.startsWith("poison");
        }
        return good;
    }

    /** Where the bytes are: a file of this process's own. */
    private static Path written(byte[] body) {
        String name = "received-" + FILES.incrementAndGet();
        try {
            return Files.write(Path.of(System.getProperty("user.home"), name), body);
        } catch (IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
