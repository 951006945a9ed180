"""What a run takes, told before it is begun."""
