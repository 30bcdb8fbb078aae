"""OTLP over HTTP and gRPC: who may send, what is taken at most, and what is answered."""
