// Writes one CancelEvaluation with the CloudEvents SDK of Go over sarama.
// stranger <bootstrap servers> <topic> <evaluation id> <binary | structured>
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
)

func main() {
	servers, topic, evaluation, mode := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	sender, err := kafka_sarama.NewSender(strings.Split(servers, ","), config, topic)
	if err != nil {
		log.Fatal(err)
	}
	ctx := kafka_sarama.WithMessageKey(context.Background(), sarama.StringEncoder(evaluation))
	if mode == "structured" {
		ctx = binding.WithForceStructured(ctx)
	} else {
		ctx = binding.WithForceBinary(ctx)
	}
	if err := sender.Send(ctx, binding.ToMessage(command(evaluation))); err != nil {
		log.Fatal(err)
	}
	if err := sender.Close(ctx); err != nil {
		log.Fatal(err)
	}
}

func command(evaluation string) *event.Event {
	written := event.New()
	written.SetID("command-1")
	written.SetSource("/stranger")
	written.SetType("ai.vijil.evaluations.v1.CancelEvaluation")
	written.SetTime(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	written.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	data := map[string]any{
		"evaluation_id": evaluation,
		"requested_by":  map[string]any{"kind": "service", "id": "stranger", "team_ids": []string{"team-7"}},
	}
	if err := written.SetData(event.ApplicationJSON, data); err != nil {
		log.Fatal(err)
	}
	return &written
}
