"""Pictures: where they come from, how they are split, what a task is."""
