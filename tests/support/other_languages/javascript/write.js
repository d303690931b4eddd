// Writes one CancelEvaluation with the CloudEvents SDK of JavaScript over kafkajs.
// node write.js <bootstrap servers> <topic> <evaluation id> <binary | structured>
const { CloudEvent, Kafka: SDK } = require("cloudevents");
const { Kafka } = require("kafkajs");

async function write([servers, topic, evaluation, mode]) {
  const event = new CloudEvent({
    id: "command-1",
    source: "/stranger",
    type: "ai.vijil.evaluations.v1.CancelEvaluation",
    time: "2026-11-24T12:00:00.000Z",
    partitionkey: evaluation,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    data: { evaluation_id: evaluation, requested_by: { kind: "service", id: "stranger", team_ids: ["team-7"] } },
  });
  const { headers, key, value, body } = mode === "binary" ? SDK.binary(event) : SDK.structured(event);
  const written = value ?? body;
  // The SDK leaves headers of absent attributes undefined, and kafkajs refuses those.
  const present = Object.fromEntries(Object.entries(headers).filter(([, text]) => text !== undefined));
  const message = { key, headers: present, value: typeof written === "string" ? written : JSON.stringify(written) };
  const producer = new Kafka({ brokers: servers.split(","), logLevel: 1, retry: { retries: 3 } }).producer();
  await producer.connect();
  await producer.send({ topic, messages: [message] });
  await producer.disconnect();
}

write(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
