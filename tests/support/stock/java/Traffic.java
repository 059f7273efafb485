package signpost.stock;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A stock producer and a stock push consumer of one topic, with the clients' own defaults but for
 * the intervals given.
 *
 * <p>Words: name servers (or http://HOST:PORT of an address server that knows them), topic, a name for both groups, milliseconds between two looks at the
 * route. On stdin:
 *
 * <pre>
 * send N PREFIX     sends N messages PREFIX-0, PREFIX-1, … one after the other
 * load RATE THREADS sends so many a second, named NAME-load-0, NAME-load-1, …, until
 *                   told to halt
 * halt              ends the load, after the sends that are under way
 * </pre>
 *
 * <p>On stdout, a line for each event: {"ready":true} once both have started,
 * {"sent":body,"broker":name}, {"failed":body,"error":text}, {"received":body,"broker":name} and
 * {"done":"send" or "halt"}. Ends when stdin does.
 */
public final class Traffic {
    private final String topic;
    private final String name;
    private final DefaultMQProducer producer;
    private final AtomicLong next = new AtomicLong();
    private final List<Thread> senders = new ArrayList<>();
    private volatile boolean halted;

    private Traffic(String topic, String name, DefaultMQProducer producer) {
        this.topic = topic;
        this.name = name;
        this.producer = producer;
    }

    public static void main(String[] words) throws Exception {
        String nameServers = words[0];
        String topic = words[1];
        String name = words[2];
        int pollInterval = Integer.parseInt(words[3]);

        // What both clients take when nothing else is set.
        boolean isAddressServer = nameServers.startsWith("http://");
        System.setProperty(
            isAddressServer ? "rocketmq.namesrv.domain" : "rocketmq.namesrv.addr",
            nameServers.replace("http://", ""));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(name + "-consumers");
        consumer.setPollNameServerInterval(pollInterval);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                Line.print(
                    "received", new String(message.getBody(), StandardCharsets.UTF_8),
                    "broker", context.getMessageQueue().getBrokerName());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        DefaultMQProducer producer = new DefaultMQProducer(name + "-producers");
        producer.setPollNameServerInterval(pollInterval);
        producer.start();
        consumer.start();
        Line.print("ready", true);

        Traffic traffic = new Traffic(topic, name, producer);
        BufferedReader orders =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            traffic.obey(order.split(" "));
        }
        Runtime.getRuntime().halt(0);
    }

    private void obey(String[] order) throws InterruptedException {
        switch (order[0]) {
            case "send":
                for (int n = 0; n < Integer.parseInt(order[1]); n++) {
                    send(order[2] + "-" + n);
                }
                Line.print("done", "send");
                break;
            case "load":
                load(Integer.parseInt(order[1]), Integer.parseInt(order[2]));
                break;
            case "halt":
                halted = true;
                for (Thread sender : senders) {
                    sender.join();
                }
                senders.clear();
                Line.print("done", "halt");
                break;
            default:
                throw new IllegalArgumentException(order[0]);
        }
    }

    private void load(int rate, int threads) {
        halted = false;
        long pause = 1_000_000_000L * threads / rate;
        for (int n = 0; n < threads; n++) {
            Thread sender = new Thread(() -> {
                long due = System.nanoTime();
                while (!halted) {
                    send(name + "-load-" + next.getAndIncrement());
                    // What a slow send held up is not made up for in a burst.
                    due = Math.max(due + pause, System.nanoTime());
                    LockSupport.parkNanos(due - System.nanoTime());
                }
            });
            senders.add(sender);
            sender.start();
        }
    }

    private void send(String body) {
        try {
            SendResult sent =
                producer.send(new Message(topic, body.getBytes(StandardCharsets.UTF_8)));
            Line.print("sent", body, "broker", sent.getMessageQueue().getBrokerName());
        } catch (Exception error) {
            Line.print("failed", body, "error", error.toString());
        }
    }
}
