"""The HTTP endpoint in front of Kafka: who asks, what is published, what is answered. Composed in app.py."""
