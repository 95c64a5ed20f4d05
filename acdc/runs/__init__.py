"""A run's life: arguments, discovery, folder, checkpoint, reloading, evaluation."""
