"""One small program a peer, written as that tool's own users would; each runs in that peer's own environment."""
