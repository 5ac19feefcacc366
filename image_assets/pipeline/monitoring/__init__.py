"""What programs that watch a dataset are told: numbers for Prometheus, spans for OpenTelemetry."""
