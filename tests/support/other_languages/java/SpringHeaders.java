// Writes one CancelEvaluation with Spring's KafkaTemplate, whose header mapper writes the attributes.
// java SpringHeaders.java <bootstrap servers> <topic> <evaluation id> <prefix of the attributes> <plain | quoted>
import java.util.Map;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.support.DefaultKafkaHeaderMapper;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.kafka.support.converter.MessagingMessageConverter;
import org.springframework.messaging.MessageHeaders;
import org.springframework.messaging.support.MessageBuilder;

class SpringHeaders {
    public static void main(String[] arguments) throws Exception {
        String servers = arguments[0], topic = arguments[1], evaluation = arguments[2], prefix = arguments[3];
        DefaultKafkaHeaderMapper mapper = new DefaultKafkaHeaderMapper();
        mapper.setEncodeStrings(arguments[4].equals("quoted"));
        MessagingMessageConverter converter = new MessagingMessageConverter();
        converter.setHeaderMapper(mapper);
        DefaultKafkaProducerFactory<String, String> producers = new DefaultKafkaProducerFactory<>(
            Map.of("bootstrap.servers", servers), new StringSerializer(), new StringSerializer());
        KafkaTemplate<String, String> template = new KafkaTemplate<>(producers);
        template.setMessageConverter(converter);
        String actor = "{\"kind\": \"service\", \"id\": \"stranger\", \"team_ids\": [\"team-7\"]}";
        template.send(MessageBuilder
            .withPayload("{\"evaluation_id\": \"" + evaluation + "\", \"requested_by\": " + actor + "}")
            .setHeader(KafkaHeaders.TOPIC, topic)
            .setHeader(KafkaHeaders.KEY, evaluation)
            .setHeader(MessageHeaders.CONTENT_TYPE, "application/json")
            .setHeader(prefix + "specversion", "1.0")
            .setHeader(prefix + "id", "command-1")
            .setHeader(prefix + "source", "/stranger")
            .setHeader(prefix + "type", "ai.vijil.evaluations.v1.CancelEvaluation")
            .setHeader(prefix + "time", "2026-11-24T12:00:00Z")
            .setHeader(prefix + "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .build()).get();
        producers.destroy();
    }
}
