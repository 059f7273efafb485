package signpost.stock;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CountDownLatch;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
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
 * rich    TOPIC KEY BASE64 NAME VALUE one message with a body of these bytes and a property
 * listen  GROUP TOPIC EXPRESSION RETRIES KIND
 *                                     a push consumer, KIND is "concurrently" or "orderly"; it
 *                                     fails on bodies that begin with "poison"
 * hush    GROUP                       that consumer ends in order
 * </pre>
 *
 * <p>On stdout {"ready":true}, then for each event a line: {"sent":body,"queue":N,"offset":N,
 * "id":unique key,"at":offset id}, {"failed":body,"error":text}, {"received":body,"group":…,
 * "topic":…,"queue":N,"offset":N,"id":…,"at":…,"tags":…,"keys":…,"retries":N,"flag":N,"base64":…,
 * "extra":…}, and {"done":order} for each order. Ends when stdin does.
 */
public final class Exchange {
    private final DefaultMQProducer producer;
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();

    private Exchange(DefaultMQProducer producer) {
        this.producer = producer;
    }

    public static void main(String[] words) throws Exception {
        System.setProperty("rocketmq.namesrv.addr", words[0]);
        DefaultMQProducer producer = new DefaultMQProducer("exchange-producers");
        producer.setPollNameServerInterval(1000);
        producer.start();
        Line.print("ready", true);
        Exchange exchange = new Exchange(producer);
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
                async(order);
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
            case "rich": {
                byte[] body = Base64.getDecoder().decode(order[3]);
                Message message = new Message(order[1], "rich", order[2], 7, body, true);
                message.putUserProperty(order[4], order[5]);
                sent(order[2], producer.send(message));
                break;
            }
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

    private static Message message(String[] order) {
        return new Message(order[1], order[2], order[3], bytes(order[4]));
    }

    private void async(String[] order) throws Exception {
        CountDownLatch answered = new CountDownLatch(1);
        producer.send(message(order), new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                sent(order[4], result);
                answered.countDown();
            }

            @Override
            public void onException(Throwable error) {
                Line.print("failed", order[4], "error", error.toString());
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
            boolean rich = "rich".equals(message.getTags());
            Line.print(
                "received", rich ? message.getKeys() : body,
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
                "base64", rich ? Base64.getEncoder().encodeToString(message.getBody()) : "",
                "extra", String.valueOf(message.getUserProperty("extra")));
            good &= !body.startsWith("poison");
        }
        return good;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
