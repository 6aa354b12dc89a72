KEYS=("axis",)
