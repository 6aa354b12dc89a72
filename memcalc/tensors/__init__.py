"""The mechanism: symbolic tensors, autograd's rules for what is kept, and the timeline of live memory.

``tape``      storages are born and die; every birth and death is an event
``tensor``    a shape and a format over a storage, and the way back through the graph
``autograd``  backward, derived once for all programs; checkpointing; autocast's copies
``ops``       what each PyTorch operator allocates, keeps and frees
``timeline``  events composed into segments, repeated for equal blocks; the peak read off
"""
