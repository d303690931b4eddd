// Writes one CancelEvaluation with the CloudEvents SDK of Java.
// java CloudEvents.java <bootstrap servers> <topic> <evaluation id> <binary | structured>
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class CloudEvents {
    public static void main(String[] arguments) throws Exception {
        String servers = arguments[0], topic = arguments[1], evaluation = arguments[2], mode = arguments[3];
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", servers);
        settings.put("key.serializer", StringSerializer.class);
        settings.put("value.serializer", CloudEventSerializer.class);
        if (mode.equals("structured")) {
            settings.put(CloudEventSerializer.ENCODING_CONFIG, Encoding.STRUCTURED);
            settings.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
        }
        try (KafkaProducer<String, CloudEvent> producer = new KafkaProducer<>(settings)) {
            producer.send(new ProducerRecord<>(topic, evaluation, command(evaluation))).get();
        }
    }

    static CloudEvent command(String evaluation) {
        String actor = "{\"kind\": \"service\", \"id\": \"stranger\", \"team_ids\": [\"team-7\"]}";
        String data = "{\"evaluation_id\": \"" + evaluation + "\", \"requested_by\": " + actor + "}";
        return CloudEventBuilder.v1()
            .withId("command-1")
            .withSource(URI.create("/stranger"))
            .withType("ai.vijil.evaluations.v1.CancelEvaluation")
            .withTime(OffsetDateTime.parse("2026-11-24T12:00:00Z"))
            .withExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .withData("application/json", data.getBytes(StandardCharsets.UTF_8))
            .build();
    }
}
