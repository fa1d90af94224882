def measure(stage):
    return []
