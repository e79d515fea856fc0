// A Kafka Streams application in the shape of the JVM processor's simple part: it reads the data topic in the consumer
// group of its application id, and writes a detection in the form of release 1.3 for each record that holds a text.
// It ends when it has seen so many records, and commits as Kafka Streams does.
//
// Arguments: brokers, application id, data topic, output topic, title, text, number of records, state folder.

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KStream;

public class JvmImitation {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("application.id", args[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("commit.interval.ms", "1000");
        settings.put("default.key.serde", Serdes.String().getClass().getName());
        settings.put("default.value.serde", Serdes.String().getClass().getName());
        settings.put("state.dir", args[7]);
        String output = args[3];
        String title = args[4];
        String text = args[5];
        long wanted = Long.parseLong(args[6]);
        AtomicLong seen = new AtomicLong();
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> events = builder.stream(args[2]);
        events.filter((key, event) -> {
            seen.incrementAndGet();
            return event.contains(text);
        }).mapValues(event -> "{\"timeStamp\":" + System.currentTimeMillis() + ",\"title\":\"" + title
                + "\",\"isAggregateCondition\":false,\"outputTopic\":\"" + output
                + "\",\"aggregateCondition\":false,\"sourceData\":" + event + "}").to(output);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        long deadline = System.currentTimeMillis() + 90_000;
        while (seen.get() < wanted && System.currentTimeMillis() < deadline) {
            Thread.sleep(20);
        }
        boolean closed = streams.close(Duration.ofSeconds(30));
        System.exit(closed && seen.get() >= wanted ? 0 : 1);
    }
}
