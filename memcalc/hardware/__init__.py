"""Cards: the catalogue of what drivers report, and the GPUs of this machine.

>>> from memcalc.hardware import find
>>> find("rtx 4090").total == 24564 * 1024**2
True
"""

from memcalc.hardware.gpus import Gpu, catalogue, find
from memcalc.hardware.live import LiveGpu, LiveGpus, Process
from memcalc.hardware.nvml import read

__all__ = ["Gpu", "LiveGpu", "LiveGpus", "Process", "catalogue", "find", "read"]
