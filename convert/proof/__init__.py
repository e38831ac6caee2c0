"""An artifact beside its reference: the same inputs, tensor by tensor."""
