"""A network as fused steps on planned memory, with its launches worked out."""
