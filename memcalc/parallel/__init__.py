"""Many GPUs: what one card holds when a model is replicated, sharded or split over several.

A strategy changes two things. What stands (weights, gradients, states, buckets) is weighed by ``shards`` and the
strategy's own file; what is gathered and reduced while the program runs is written on the program's tape by a watch
(``memcalc.tensors.watch``), tensor by tensor, as the library's own code does it.
"""
